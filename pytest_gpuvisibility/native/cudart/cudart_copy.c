/* Copying and setting memory. */
#include "cudart_internal.h"

/* ---- linear copies ---- */

cudaError_t cudaMemcpyAsync(void *target, const void *source, size_t size, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    TRY(gv_enter());
    switch (kind) {
    case cudaMemcpyHostToDevice:
        return gv_leave(cuMemcpyHtoDAsync_v2(gv_address(target), source, size, stream));
    case cudaMemcpyDeviceToHost:
        return gv_leave(cuMemcpyDtoHAsync_v2(target, gv_address(source), size, stream));
    case cudaMemcpyDeviceToDevice:
        return gv_leave(cuMemcpyDtoDAsync_v2(gv_address(target), gv_address(source), size, stream));
    case cudaMemcpyHostToHost:
    case cudaMemcpyDefault:
        return gv_leave(cuMemcpyAsync(gv_address(target), gv_address(source), size, stream));
    default:
        return gv_fail(cudaErrorInvalidMemcpyDirection);
    }
}
PER_THREAD(cudaMemcpyAsync, _ptsz);

cudaError_t cudaMemcpy(void *target, const void *source, size_t size, enum cudaMemcpyKind kind)
{
    return cudaMemcpyAsync(target, source, size, kind, NULL);
}
PER_THREAD(cudaMemcpy, _ptds);

cudaError_t cudaMemcpyPeerAsync(void *target, int target_device, const void *source, int source_device, size_t size,
                                cudaStream_t stream)
{
    CUcontext to, from;
    TRY(gv_enter());
    TRY(gv_primary(target_device, &to));
    TRY(gv_primary(source_device, &from));
    return gv_leave(cuMemcpyPeerAsync(gv_address(target), to, gv_address(source), from, size, stream));
}

cudaError_t cudaMemcpyPeer(void *target, int target_device, const void *source, int source_device, size_t size)
{
    return cudaMemcpyPeerAsync(target, target_device, source, source_device, size, NULL);
}

/* ---- boxes ---- */

/* What a copy's direction says of its two sides; false where it is none. */
static bool sides(enum cudaMemcpyKind kind, CUmemorytype *source, CUmemorytype *target)
{
    static const CUmemorytype types[][2] = {
        [cudaMemcpyHostToHost] = {CU_MEMORYTYPE_HOST, CU_MEMORYTYPE_HOST},
        [cudaMemcpyHostToDevice] = {CU_MEMORYTYPE_HOST, CU_MEMORYTYPE_DEVICE},
        [cudaMemcpyDeviceToHost] = {CU_MEMORYTYPE_DEVICE, CU_MEMORYTYPE_HOST},
        [cudaMemcpyDeviceToDevice] = {CU_MEMORYTYPE_DEVICE, CU_MEMORYTYPE_DEVICE},
        [cudaMemcpyDefault] = {CU_MEMORYTYPE_UNIFIED, CU_MEMORYTYPE_UNIFIED},
    };
    if ((unsigned)kind > cudaMemcpyDefault)
        return false;
    *source = types[kind][0];
    *target = types[kind][1];
    return true;
}

cudaError_t cudaMemcpy2DAsync(void *target, size_t target_pitch, const void *source, size_t source_pitch, size_t width,
                              size_t height, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    CUDA_MEMCPY2D box = {
        .srcHost = source,
        .srcDevice = gv_address(source),
        .srcPitch = source_pitch,
        .dstHost = target,
        .dstDevice = gv_address(target),
        .dstPitch = target_pitch,
        .WidthInBytes = width,
        .Height = height,
    };
    REQUIRE(sides(kind, &box.srcMemoryType, &box.dstMemoryType), cudaErrorInvalidMemcpyDirection);
    REQUIRE(width <= target_pitch && width <= source_pitch, cudaErrorInvalidPitchValue);
    TRY(gv_enter());
    return gv_leave(cuMemcpy2DAsync_v2(&box, stream));
}
PER_THREAD(cudaMemcpy2DAsync, _ptsz);

cudaError_t cudaMemcpy2D(void *target, size_t target_pitch, const void *source, size_t source_pitch, size_t width,
                         size_t height, enum cudaMemcpyKind kind)
{
    return cudaMemcpy2DAsync(target, target_pitch, source, source_pitch, width, height, kind, NULL);
}
PER_THREAD(cudaMemcpy2D, _ptds);

/* Arrays there are none: nobody can have made one. */
cudaError_t cudaMemcpy3DAsync(const struct cudaMemcpy3DParms *copy, cudaStream_t stream)
{
    REQUIRE_VALUE(copy && !copy->srcArray && !copy->dstArray);
    CUDA_MEMCPY3D box = {
        .srcHost = copy->srcPtr.ptr,
        .srcDevice = gv_address(copy->srcPtr.ptr),
        .srcPitch = copy->srcPtr.pitch,
        .srcHeight = copy->srcPtr.ysize,
        .srcXInBytes = copy->srcPos.x,
        .srcY = copy->srcPos.y,
        .srcZ = copy->srcPos.z,
        .dstHost = copy->dstPtr.ptr,
        .dstDevice = gv_address(copy->dstPtr.ptr),
        .dstPitch = copy->dstPtr.pitch,
        .dstHeight = copy->dstPtr.ysize,
        .dstXInBytes = copy->dstPos.x,
        .dstY = copy->dstPos.y,
        .dstZ = copy->dstPos.z,
        .WidthInBytes = copy->extent.width,
        .Height = copy->extent.height,
        .Depth = copy->extent.depth,
    };
    REQUIRE(sides(copy->kind, &box.srcMemoryType, &box.dstMemoryType), cudaErrorInvalidMemcpyDirection);
    TRY(gv_enter());
    return gv_leave(cuMemcpy3DAsync_v2(&box, stream));
}
PER_THREAD(cudaMemcpy3DAsync, _ptsz);

cudaError_t cudaMemcpy3D(const struct cudaMemcpy3DParms *copy)
{
    return cudaMemcpy3DAsync(copy, NULL);
}
PER_THREAD(cudaMemcpy3D, _ptds);

/* ---- setting ---- */

cudaError_t cudaMemsetAsync(void *target, int value, size_t size, cudaStream_t stream)
{
    FORWARD(gv_enter, cuMemsetD8Async(gv_address(target), (unsigned char)value, size, stream));
}
PER_THREAD(cudaMemsetAsync, _ptsz);

cudaError_t cudaMemset(void *target, int value, size_t size)
{
    return cudaMemsetAsync(target, value, size, NULL);
}
PER_THREAD(cudaMemset, _ptds);

cudaError_t cudaMemset2DAsync(void *target, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream)
{
    FORWARD(gv_enter, cuMemsetD2D8Async(gv_address(target), pitch, (unsigned char)value, width, height, stream));
}
PER_THREAD(cudaMemset2DAsync, _ptsz);

cudaError_t cudaMemset2D(void *target, size_t pitch, int value, size_t width, size_t height)
{
    return cudaMemset2DAsync(target, pitch, value, width, height, NULL);
}
PER_THREAD(cudaMemset2D, _ptds);

cudaError_t cudaMemset3DAsync(struct cudaPitchedPtr target, int value, struct cudaExtent extent, cudaStream_t stream)
{
    TRY(gv_enter());
    for (size_t z = 0; z < extent.depth; z++) {
        CUdeviceptr slice = gv_address(target.ptr) + z * target.ysize * target.pitch;
        TRY(cuMemsetD2D8Async(slice, target.pitch, (unsigned char)value, extent.width, extent.height, stream));
    }
    return cudaSuccess;
}
PER_THREAD(cudaMemset3DAsync, _ptsz);

cudaError_t cudaMemset3D(struct cudaPitchedPtr target, int value, struct cudaExtent extent)
{
    return cudaMemset3DAsync(target, value, extent, NULL);
}
PER_THREAD(cudaMemset3D, _ptds);
