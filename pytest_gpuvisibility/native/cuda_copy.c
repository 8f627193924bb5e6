/* Copying and setting memory. Every operation, asynchronous ones included, is finished when its call returns. */
#include <string.h>

#include "cuda_internal.h"

/* ---- linear copies ---- */

static CUresult copy(void *target, const void *source, size_t size)
{
    REQUIRE_VALUE(target && source);
    memmove(target, source, size);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr target, const void *source, size_t size)
{
    REQUIRE_CONTEXT(context);
    return size ? copy(gv_device_range(target, size, GV_WRITES), gv_any_range(source, size, GV_READS), size) : CUDA_SUCCESS;
}
PER_THREAD(cuMemcpyHtoD_v2, _ptds);

CUresult cuMemcpyDtoH_v2(void *target, CUdeviceptr source, size_t size)
{
    REQUIRE_CONTEXT(context);
    return size ? copy(gv_any_range(target, size, GV_WRITES), gv_device_range(source, size, GV_READS), size) : CUDA_SUCCESS;
}
PER_THREAD(cuMemcpyDtoH_v2, _ptds);

CUresult cuMemcpyDtoD_v2(CUdeviceptr target, CUdeviceptr source, size_t size)
{
    REQUIRE_CONTEXT(context);
    return size ? copy(gv_device_range(target, size, GV_WRITES), gv_device_range(source, size, GV_READS), size) : CUDA_SUCCESS;
}
PER_THREAD(cuMemcpyDtoD_v2, _ptds);

/* Device or host, each side as it is. */
CUresult cuMemcpy(CUdeviceptr target, CUdeviceptr source, size_t size)
{
    REQUIRE_CONTEXT(context);
    const void *from = (const void *)(uintptr_t)source, *to = (const void *)(uintptr_t)target;
    return size ? copy(gv_any_range(to, size, GV_WRITES), gv_any_range(from, size, GV_READS), size) : CUDA_SUCCESS;
}
PER_THREAD(cuMemcpy, _ptds);

CUresult cuMemcpyPeer(CUdeviceptr target, CUcontext target_context, CUdeviceptr source, CUcontext source_context,
                      size_t size)
{
    REQUIRE_READY();
    REQUIRE(gv_is_context(target_context) && gv_is_context(source_context), CUDA_ERROR_INVALID_CONTEXT);
    return size ? copy(gv_device_range(target, size, GV_WRITES), gv_device_range(source, size, GV_READS), size) : CUDA_SUCCESS;
}
PER_THREAD(cuMemcpyPeer, _ptds);

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t size, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return cuMemcpyHtoD_v2(target, source, size);
}
PER_THREAD(cuMemcpyHtoDAsync_v2, _ptsz);

CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t size, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return cuMemcpyDtoH_v2(target, source, size);
}
PER_THREAD(cuMemcpyDtoHAsync_v2, _ptsz);

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t size, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return cuMemcpyDtoD_v2(target, source, size);
}
PER_THREAD(cuMemcpyDtoDAsync_v2, _ptsz);

CUresult cuMemcpyAsync(CUdeviceptr target, CUdeviceptr source, size_t size, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return cuMemcpy(target, source, size);
}
PER_THREAD(cuMemcpyAsync, _ptsz);

CUresult cuMemcpyPeerAsync(CUdeviceptr target, CUcontext target_context, CUdeviceptr source, CUcontext source_context,
                           size_t size, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return cuMemcpyPeer(target, target_context, source, source_context, size);
}
PER_THREAD(cuMemcpyPeerAsync, _ptsz);

/* ---- boxes ---- */

/* One side of a copy of a box: rows of `pitch` bytes, planes of `height` rows. */
struct side {
    CUmemorytype type;
    const void *host;
    CUdeviceptr device;
    size_t x, y, z, pitch, height;
};

/* The first byte of the box of width x height x depth, after checking that its last one is inside too. */
static char *locate(const struct side *side, size_t width, size_t height, size_t depth, enum gv_access access)
{
    size_t pitch = side->pitch ? side->pitch : side->x + width, plane, offset, end;
    size_t rows = side->height ? side->height : side->y + height;
    if (__builtin_mul_overflow(pitch, rows, &plane) || __builtin_mul_overflow(plane, side->z + depth - 1, &offset) ||
        __builtin_add_overflow(offset, pitch * (side->y + height - 1) + side->x + width, &end))
        return NULL;
    char *start = side->type == CU_MEMORYTYPE_HOST      ? gv_any_range(side->host, end, access)
                  : side->type == CU_MEMORYTYPE_DEVICE  ? gv_device_range(side->device, end, access)
                  : side->type == CU_MEMORYTYPE_UNIFIED ? gv_any_range((void *)(uintptr_t)side->device, end, access)
                                                        : NULL;
    return start ? start + plane * side->z + pitch * side->y + side->x : NULL;
}

static CUresult copy_box(const char *function, const struct side *target, const struct side *source, size_t width,
                         size_t height, size_t depth)
{
    REQUIRE_CONTEXT(context);
    if (target->type == CU_MEMORYTYPE_ARRAY || source->type == CU_MEMORYTYPE_ARRAY)
        return (CUresult)gv_cuda_refuse(function);
    if (!width || !height || !depth)
        return CUDA_SUCCESS;
    REQUIRE_VALUE((!target->pitch || target->x + width <= target->pitch) &&
                  (!source->pitch || source->x + width <= source->pitch));
    char *to = locate(target, width, height, depth, GV_WRITES);
    const char *from = locate(source, width, height, depth, GV_READS);
    REQUIRE_VALUE(to && from);
    size_t to_pitch = target->pitch ? target->pitch : target->x + width;
    size_t from_pitch = source->pitch ? source->pitch : source->x + width;
    size_t to_plane = to_pitch * (target->height ? target->height : target->y + height);
    size_t from_plane = from_pitch * (source->height ? source->height : source->y + height);
    for (size_t z = 0; z < depth; z++)
        for (size_t y = 0; y < height; y++)
            memmove(to + z * to_plane + y * to_pitch, from + z * from_plane + y * from_pitch, width);
    return CUDA_SUCCESS;
}

static CUresult copy_2d(const char *function, const CUDA_MEMCPY2D *box)
{
    REQUIRE_VALUE(box);
    const struct side source = {box->srcMemoryType, box->srcHost, box->srcDevice, box->srcXInBytes,
                                box->srcY,          0,            box->srcPitch,  0};
    const struct side target = {box->dstMemoryType, box->dstHost, box->dstDevice, box->dstXInBytes,
                                box->dstY,          0,            box->dstPitch,  0};
    return copy_box(function, &target, &source, box->WidthInBytes, box->Height, 1);
}

static CUresult copy_3d(const char *function, const CUDA_MEMCPY3D *box)
{
    REQUIRE_VALUE(box);
    const struct side source = {box->srcMemoryType, box->srcHost, box->srcDevice, box->srcXInBytes,
                                box->srcY,          box->srcZ,    box->srcPitch,  box->srcHeight};
    const struct side target = {box->dstMemoryType, box->dstHost, box->dstDevice, box->dstXInBytes,
                                box->dstY,          box->dstZ,    box->dstPitch,  box->dstHeight};
    return copy_box(function, &target, &source, box->WidthInBytes, box->Height, box->Depth);
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D *box)
{
    return copy_2d(__func__, box);
}
PER_THREAD(cuMemcpy2D_v2, _ptds);

CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *box)
{
    return copy_2d(__func__, box);
}
PER_THREAD(cuMemcpy2DUnaligned_v2, _ptds);

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *box, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return copy_2d(__func__, box);
}
PER_THREAD(cuMemcpy2DAsync_v2, _ptsz);

CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D *box)
{
    return copy_3d(__func__, box);
}
PER_THREAD(cuMemcpy3D_v2, _ptds);

CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *box, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return copy_3d(__func__, box);
}
PER_THREAD(cuMemcpy3DAsync_v2, _ptsz);

/* Between contexts: the addresses alone say which memory is meant. */
static CUresult copy_3d_peer(const char *function, const CUDA_MEMCPY3D_PEER *box)
{
    REQUIRE_READY();
    REQUIRE_VALUE(box);
    REQUIRE(gv_is_context(box->srcContext) && gv_is_context(box->dstContext), CUDA_ERROR_INVALID_CONTEXT);
    const struct side source = {box->srcMemoryType, box->srcHost, box->srcDevice, box->srcXInBytes,
                                box->srcY,          box->srcZ,    box->srcPitch,  box->srcHeight};
    const struct side target = {box->dstMemoryType, box->dstHost, box->dstDevice, box->dstXInBytes,
                                box->dstY,          box->dstZ,    box->dstPitch,  box->dstHeight};
    return copy_box(function, &target, &source, box->WidthInBytes, box->Height, box->Depth);
}

CUresult cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER *box)
{
    return copy_3d_peer(__func__, box);
}
PER_THREAD(cuMemcpy3DPeer, _ptds);

CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER *box, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return copy_3d_peer(__func__, box);
}
PER_THREAD(cuMemcpy3DPeerAsync, _ptsz);

/* ---- setting ---- */

/* `width` elements of `size` bytes in each of `height` rows, all of them `value`. */
static CUresult set(CUdeviceptr target, size_t pitch, unsigned value, size_t size, size_t width, size_t height)
{
    REQUIRE_CONTEXT(context);
    size_t row, end;
    REQUIRE_VALUE(!__builtin_mul_overflow(width, size, &row));
    REQUIRE_VALUE(target % size == 0 && (height <= 1 || (pitch >= row && pitch % size == 0)));
    if (!width || !height)
        return CUDA_SUCCESS;
    REQUIRE_VALUE(!__builtin_mul_overflow(pitch, height - 1, &end) && !__builtin_add_overflow(end, row, &end));
    char *start = gv_device_range(target, end, GV_WRITES);
    REQUIRE_VALUE(start);
    for (size_t y = 0; y < height; y++) {
        char *first = start + y * pitch;
        if (value == 0)
            gv_zero_range(first, row);
        else if (size == 1)
            memset(first, (int)value, row);
        else
            for (size_t x = 0; x < row; x += size)
                memcpy(first + x, &value, size); /* little-endian: the low bytes come first */
    }
    return CUDA_SUCCESS;
}

CUresult cuMemsetD8_v2(CUdeviceptr target, unsigned char value, size_t count)
{
    return set(target, 0, value, 1, count, 1);
}
PER_THREAD(cuMemsetD8_v2, _ptds);

CUresult cuMemsetD16_v2(CUdeviceptr target, unsigned short value, size_t count)
{
    return set(target, 0, value, 2, count, 1);
}
PER_THREAD(cuMemsetD16_v2, _ptds);

CUresult cuMemsetD32_v2(CUdeviceptr target, unsigned int value, size_t count)
{
    return set(target, 0, value, 4, count, 1);
}
PER_THREAD(cuMemsetD32_v2, _ptds);

CUresult cuMemsetD2D8_v2(CUdeviceptr target, size_t pitch, unsigned char value, size_t width, size_t height)
{
    return set(target, pitch, value, 1, width, height);
}
PER_THREAD(cuMemsetD2D8_v2, _ptds);

CUresult cuMemsetD2D16_v2(CUdeviceptr target, size_t pitch, unsigned short value, size_t width, size_t height)
{
    return set(target, pitch, value, 2, width, height);
}
PER_THREAD(cuMemsetD2D16_v2, _ptds);

CUresult cuMemsetD2D32_v2(CUdeviceptr target, size_t pitch, unsigned int value, size_t width, size_t height)
{
    return set(target, pitch, value, 4, width, height);
}
PER_THREAD(cuMemsetD2D32_v2, _ptds);

CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t count, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return set(target, 0, value, 1, count, 1);
}
PER_THREAD(cuMemsetD8Async, _ptsz);

CUresult cuMemsetD16Async(CUdeviceptr target, unsigned short value, size_t count, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return set(target, 0, value, 2, count, 1);
}
PER_THREAD(cuMemsetD16Async, _ptsz);

CUresult cuMemsetD32Async(CUdeviceptr target, unsigned int value, size_t count, CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return set(target, 0, value, 4, count, 1);
}
PER_THREAD(cuMemsetD32Async, _ptsz);

CUresult cuMemsetD2D8Async(CUdeviceptr target, size_t pitch, unsigned char value, size_t width, size_t height,
                           CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return set(target, pitch, value, 1, width, height);
}
PER_THREAD(cuMemsetD2D8Async, _ptsz);

CUresult cuMemsetD2D16Async(CUdeviceptr target, size_t pitch, unsigned short value, size_t width, size_t height,
                            CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return set(target, pitch, value, 2, width, height);
}
PER_THREAD(cuMemsetD2D16Async, _ptsz);

CUresult cuMemsetD2D32Async(CUdeviceptr target, size_t pitch, unsigned int value, size_t width, size_t height,
                            CUstream stream)
{
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    return set(target, pitch, value, 4, width, height);
}
PER_THREAD(cuMemsetD2D32Async, _ptsz);
