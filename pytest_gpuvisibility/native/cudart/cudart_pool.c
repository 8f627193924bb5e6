/* Memory in the order of a stream, and the pools that it comes from. The structures are the driver's under other
 * names. */
#include "cudart_internal.h"

_Static_assert(sizeof(struct cudaMemPoolProps) == sizeof(CUmemPoolProps), "pool properties are the driver's");
_Static_assert(sizeof(struct cudaMemAccessDesc) == sizeof(CUmemAccessDesc), "an access description is the driver's");
_Static_assert(sizeof(struct cudaMemLocation) == sizeof(CUmemLocation), "a location is the driver's");

cudaError_t cudaMallocAsync(void **pointer, size_t size, cudaStream_t stream)
{
    REQUIRE_VALUE(pointer);
    TRY(gv_enter());
    *pointer = NULL;
    return size ? gv_leave(cuMemAllocAsync((CUdeviceptr *)pointer, size, stream)) : cudaSuccess;
}
PER_THREAD(cudaMallocAsync, _ptsz);

cudaError_t cudaMallocFromPoolAsync(void **pointer, size_t size, cudaMemPool_t pool, cudaStream_t stream)
{
    REQUIRE_VALUE(pointer);
    TRY(gv_enter());
    *pointer = NULL;
    return size ? gv_leave(cuMemAllocFromPoolAsync((CUdeviceptr *)pointer, size, pool, stream)) : cudaSuccess;
}
PER_THREAD(cudaMallocFromPoolAsync, _ptsz);

cudaError_t cudaFreeAsync(void *pointer, cudaStream_t stream)
{
    TRY(gv_enter());
    return pointer ? gv_leave(cuMemFreeAsync(gv_address(pointer), stream)) : cudaSuccess;
}
PER_THREAD(cudaFreeAsync, _ptsz);

/* ---- pools ---- */

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device)
{
    FORWARD(gv_initialise, cuDeviceGetDefaultMemPool(pool, device));
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t *pool, int device)
{
    FORWARD(gv_initialise, cuDeviceGetMemPool(pool, device));
}

cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t pool)
{
    FORWARD(gv_initialise, cuDeviceSetMemPool(device, pool));
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool, const struct cudaMemPoolProps *properties)
{
    FORWARD(gv_initialise, cuMemPoolCreate(pool, (const CUmemPoolProps *)properties));
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool)
{
    FORWARD(gv_initialise, cuMemPoolDestroy(pool));
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t keep)
{
    FORWARD(gv_initialise, cuMemPoolTrimTo(pool, keep));
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value)
{
    FORWARD(gv_initialise, cuMemPoolGetAttribute(pool, (CUmemPool_attribute)attribute, value));
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value)
{
    FORWARD(gv_initialise, cuMemPoolSetAttribute(pool, (CUmemPool_attribute)attribute, value));
}

cudaError_t cudaMemPoolSetAccess(cudaMemPool_t pool, const struct cudaMemAccessDesc *access, size_t count)
{
    FORWARD(gv_initialise, cuMemPoolSetAccess(pool, (const CUmemAccessDesc *)access, count));
}

cudaError_t cudaMemPoolGetAccess(enum cudaMemAccessFlags *flags, cudaMemPool_t pool, struct cudaMemLocation *location)
{
    FORWARD(gv_initialise, cuMemPoolGetAccess((CUmemAccess_flags *)flags, pool, (CUmemLocation *)location));
}
