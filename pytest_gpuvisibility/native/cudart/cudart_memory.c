/* Allocating memory, and what a pointer is. An allocation of no bytes succeeds, and is NULL. */
#include "cudart_internal.h"

cudaError_t cudaMalloc(void **pointer, size_t size)
{
    REQUIRE_VALUE(pointer);
    TRY(gv_enter());
    *pointer = NULL;
    return size ? gv_leave(cuMemAlloc_v2((CUdeviceptr *)pointer, size)) : cudaSuccess;
}

cudaError_t cudaMallocManaged(void **pointer, size_t size, unsigned int flags)
{
    REQUIRE_VALUE(pointer && size);
    TRY(gv_enter());
    return gv_leave(cuMemAllocManaged((CUdeviceptr *)pointer, size, flags));
}

cudaError_t cudaMallocPitch(void **pointer, size_t *pitch, size_t width, size_t height)
{
    REQUIRE_VALUE(pointer && pitch);
    TRY(gv_enter());
    *pointer = NULL;
    *pitch = 0;
    if (!width || !height)
        return cudaSuccess;
    return gv_leave(cuMemAllocPitch_v2((CUdeviceptr *)pointer, pitch, width, height, 4));
}

cudaError_t cudaMalloc3D(struct cudaPitchedPtr *pitched, struct cudaExtent extent)
{
    size_t rows;
    REQUIRE_VALUE(pitched);
    REQUIRE(!__builtin_mul_overflow(extent.height, extent.depth, &rows), cudaErrorMemoryAllocation);
    cudaError_t error = cudaMallocPitch(&pitched->ptr, &pitched->pitch, extent.width, rows);
    pitched->xsize = extent.width;
    pitched->ysize = extent.height;
    return error;
}

cudaError_t cudaFree(void *pointer)
{
    FORWARD(gv_enter, cuMemFree_v2(gv_address(pointer)));
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    FORWARD(gv_enter, cuMemGetInfo_v2(free, total));
}

/* ---- the host's memory ---- */

cudaError_t cudaHostAlloc(void **pointer, size_t size, unsigned int flags)
{
    REQUIRE_VALUE(pointer);
    TRY(gv_enter());
    *pointer = NULL;
    return size ? gv_leave(cuMemHostAlloc(pointer, size, flags)) : cudaSuccess;
}

cudaError_t cudaMallocHost(void **pointer, size_t size)
{
    return cudaHostAlloc(pointer, size, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *pointer)
{
    TRY(gv_enter());
    return pointer ? gv_leave(cuMemFreeHost(pointer)) : cudaSuccess;
}

cudaError_t cudaHostRegister(void *pointer, size_t size, unsigned int flags)
{
    FORWARD(gv_enter, cuMemHostRegister_v2(pointer, size, flags));
}

cudaError_t cudaHostUnregister(void *pointer)
{
    FORWARD(gv_enter, cuMemHostUnregister(pointer));
}

cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned int flags)
{
    FORWARD(gv_enter, cuMemHostGetDevicePointer_v2((CUdeviceptr *)device, host, flags));
}

cudaError_t cudaHostGetFlags(unsigned int *flags, void *host)
{
    FORWARD(gv_enter, cuMemHostGetFlags(flags, host));
}

/* ---- what a pointer is ---- */

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer)
{
    unsigned type = 0, managed = 0;
    int device = cudaInvalidDeviceId;
    CUpointer_attribute asked[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
                                   CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
    void *answers[] = {&type, &managed, &device};
    REQUIRE_VALUE(attributes);
    TRY(gv_initialise());
    TRY(cuPointerGetAttributes(sizeof asked / sizeof *asked, asked, answers, gv_address(pointer)));
    bool is_host = type == CU_MEMORYTYPE_HOST, is_known = type != 0;
    *attributes = (struct cudaPointerAttributes){
        .type = managed    ? cudaMemoryTypeManaged
                : is_host  ? cudaMemoryTypeHost
                : is_known ? cudaMemoryTypeDevice
                           : cudaMemoryTypeUnregistered,
        .device = is_known ? device : cudaInvalidDeviceId,
        .devicePointer = is_known ? (void *)pointer : NULL,
        .hostPointer = managed || is_host || !is_known ? (void *)pointer : NULL,
    };
    return cudaSuccess;
}

/* ---- advice on managed memory ---- */

#if CUDART_VERSION < 13000

cudaError_t cudaMemAdvise(const void *pointer, size_t size, enum cudaMemoryAdvise advice, int device)
{
    FORWARD(gv_enter, cuMemAdvise(gv_address(pointer), size, (CUmem_advise)advice, device));
}

cudaError_t cudaMemPrefetchAsync(const void *pointer, size_t size, int device, cudaStream_t stream)
{
    FORWARD(gv_enter, cuMemPrefetchAsync(gv_address(pointer), size, device, stream));
}
PER_THREAD(cudaMemPrefetchAsync, _ptsz);

#define cudaMemAdvise cudaMemAdvise_v2
#define cudaMemPrefetchAsync cudaMemPrefetchAsync_v2
#define cudaMemPrefetchAsync_ptsz cudaMemPrefetchAsync_v2_ptsz

#endif

static CUmemLocation location_of(struct cudaMemLocation location)
{
    return (CUmemLocation){.type = (CUmemLocationType)location.type, .id = location.id};
}

cudaError_t cudaMemAdvise(const void *pointer, size_t size, enum cudaMemoryAdvise advice,
                          struct cudaMemLocation location)
{
    FORWARD(gv_enter, cuMemAdvise_v2(gv_address(pointer), size, (CUmem_advise)advice, location_of(location)));
}

cudaError_t cudaMemPrefetchAsync(const void *pointer, size_t size, struct cudaMemLocation location, unsigned int flags,
                                 cudaStream_t stream)
{
    FORWARD(gv_enter, cuMemPrefetchAsync_v2(gv_address(pointer), size, location_of(location), flags, stream));
}
PER_THREAD(cudaMemPrefetchAsync, _ptsz);
