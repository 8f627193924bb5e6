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
    return !size ? CUDA_SUCCESS
                 : copy(gv_device_range(target, size, GV_WRITES), gv_any_range(source, size, GV_READS), size);
}
PER_THREAD(cuMemcpyHtoD_v2, _ptds);

CUresult cuMemcpyDtoH_v2(void *target, CUdeviceptr source, size_t size)
{
    REQUIRE_CONTEXT(context);
    return !size ? CUDA_SUCCESS
                 : copy(gv_any_range(target, size, GV_WRITES), gv_device_range(source, size, GV_READS), size);
}
PER_THREAD(cuMemcpyDtoH_v2, _ptds);

CUresult cuMemcpyDtoD_v2(CUdeviceptr target, CUdeviceptr source, size_t size)
{
    REQUIRE_CONTEXT(context);
    return !size ? CUDA_SUCCESS
                 : copy(gv_device_range(target, size, GV_WRITES), gv_device_range(source, size, GV_READS), size);
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
    return !size ? CUDA_SUCCESS
                 : copy(gv_device_range(target, size, GV_WRITES), gv_device_range(source, size, GV_READS), size);
}
PER_THREAD(cuMemcpyPeer, _ptds);

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

CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D *box)
{
    return copy_3d(__func__, box);
}
PER_THREAD(cuMemcpy3D_v2, _ptds);

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

/* ---- the same on a stream, which only has to be one ---- */

#define ON_STREAM(function, call, ...)                            \
    CUresult function(__VA_ARGS__, CUstream stream)               \
    {                                                             \
        REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE); \
        return call;                                              \
    }                                                             \
    PER_THREAD(function, _ptsz)

ON_STREAM(cuMemcpyHtoDAsync_v2, cuMemcpyHtoD_v2(target, source, size),
          CUdeviceptr target, const void *source, size_t size);
ON_STREAM(cuMemcpyDtoHAsync_v2, cuMemcpyDtoH_v2(target, source, size), void *target, CUdeviceptr source, size_t size);
ON_STREAM(cuMemcpyDtoDAsync_v2, cuMemcpyDtoD_v2(target, source, size),
          CUdeviceptr target, CUdeviceptr source, size_t size);
ON_STREAM(cuMemcpyAsync, cuMemcpy(target, source, size), CUdeviceptr target, CUdeviceptr source, size_t size);
ON_STREAM(cuMemcpyPeerAsync, cuMemcpyPeer(target, target_context, source, source_context, size),
          CUdeviceptr target, CUcontext target_context, CUdeviceptr source, CUcontext source_context, size_t size);
ON_STREAM(cuMemcpy2DAsync_v2, copy_2d(__func__, box), const CUDA_MEMCPY2D *box);
ON_STREAM(cuMemcpy3DAsync_v2, copy_3d(__func__, box), const CUDA_MEMCPY3D *box);
ON_STREAM(cuMemcpy3DPeerAsync, copy_3d_peer(__func__, box), const CUDA_MEMCPY3D_PEER *box);
ON_STREAM(cuMemsetD8Async, set(target, 0, value, 1, count, 1), CUdeviceptr target, unsigned char value, size_t count);
ON_STREAM(cuMemsetD16Async, set(target, 0, value, 2, count, 1), CUdeviceptr target, unsigned short value, size_t count);
ON_STREAM(cuMemsetD32Async, set(target, 0, value, 4, count, 1), CUdeviceptr target, unsigned int value, size_t count);
ON_STREAM(cuMemsetD2D8Async, set(target, pitch, value, 1, width, height),
          CUdeviceptr target, size_t pitch, unsigned char value, size_t width, size_t height);
ON_STREAM(cuMemsetD2D16Async, set(target, pitch, value, 2, width, height),
          CUdeviceptr target, size_t pitch, unsigned short value, size_t width, size_t height);
ON_STREAM(cuMemsetD2D32Async, set(target, pitch, value, 4, width, height),
          CUdeviceptr target, size_t pitch, unsigned int value, size_t width, size_t height);
