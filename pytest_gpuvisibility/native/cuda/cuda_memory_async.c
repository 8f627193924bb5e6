/* Memory in the order of a stream, taken of pools. Every operation is finished when its call returns, so an allocation
 * is there, and what is freed can be reused, at once. */
#include "cuda_memory.h"

static CUresult allocate_from(struct gv_pool *pool, CUcontext context, size_t size, CUdeviceptr *pointer)
{
    REQUIRE_VALUE(pool);
    return gv_allocate(context, GV_DEVICE, size, 0, pool, pointer);
}

CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t size, CUstream stream)
{
    CUcontext context;
    REQUIRE_READY();
    CUresult result = gv_stream_context(stream, &context);
    REQUIRE(result == CUDA_SUCCESS, result);
    REQUIRE_VALUE(pointer && size);
    gv_lock(GV_LOCK_CUDA);
    struct gv_pool *pool = gv_pool_current(context->ordinal);
    gv_unlock(GV_LOCK_CUDA);
    REQUIRE(pool, CUDA_ERROR_OUT_OF_MEMORY);
    return allocate_from(pool, context, size, pointer);
}
PER_THREAD(cuMemAllocAsync, _ptsz);

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *pointer, size_t size, CUmemoryPool handle, CUstream stream)
{
    CUcontext context;
    REQUIRE_READY();
    CUresult result = gv_stream_context(stream, &context);
    REQUIRE(result == CUDA_SUCCESS, result);
    REQUIRE_VALUE(pointer && size);
    gv_lock(GV_LOCK_CUDA);
    struct gv_pool *pool = gv_pool_find(handle);
    gv_unlock(GV_LOCK_CUDA);
    return allocate_from(pool, context, size, pointer);
}
PER_THREAD(cuMemAllocFromPoolAsync, _ptsz);

CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream)
{
    CUcontext context;
    REQUIRE_READY();
    CUresult result = gv_stream_context(stream, &context);
    REQUIRE(result == CUDA_SUCCESS, result);
    return cuMemFree_v2(pointer);
}
PER_THREAD(cuMemFreeAsync, _ptsz);
