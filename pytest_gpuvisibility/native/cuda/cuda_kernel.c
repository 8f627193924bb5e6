/* Kernels: what is known of one, and launches. No code is ever run: a launch is an error, unless the machine was made
 * with launch="noop". Then it is recorded and does nothing. */
#include "cuda_handle.h"

/* ---- what is known of one, and set ---- */

static CUresult get_name(const char **name, const void *function)
{
    REQUIRE_READY();
    REQUIRE_VALUE(name);
    const struct gv_handle *handle = gv_handle_find(GV_FUNCTION, function);
    REQUIRE(handle, CUDA_ERROR_INVALID_HANDLE);
    *name = handle->name;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetName(const char **name, CUfunction function)
{
    return get_name(name, function);
}

CUresult cuKernelGetName(const char **name, CUkernel kernel)
{
    return get_name(name, kernel);
}

/* What a small kernel would have. */
static CUresult get_attribute(int *value, CUfunction_attribute attribute, const void *function, CUdevice device)
{
    REQUIRE_VALUE(value && (unsigned)attribute < CU_FUNC_ATTRIBUTE_MAX);
    REQUIRE(gv_handle_find(GV_FUNCTION, function), CUDA_ERROR_INVALID_HANDLE);
    const struct gv_device *gpu = gv_device_of(device);
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = 1024;
        break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
        *value = 32;
        break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = 49152;
        break;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        *value = -1; /* the driver's choice */
        break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value = 10 * gpu->cc_major + gpu->cc_minor;
        break;
    default:
        *value = 0;
    }
    return CUDA_SUCCESS;
}

/* Those that a program may set; they change nothing, for nothing runs. */
static CUresult set_attribute(CUfunction_attribute attribute, int value, const void *function, CUdevice device)
{
    int most;
    REQUIRE_VALUE((unsigned)attribute < CU_FUNC_ATTRIBUTE_MAX);
    REQUIRE(gv_handle_find(GV_FUNCTION, function), CUDA_ERROR_INVALID_HANDLE);
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        cuDeviceGetAttribute(&most, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, device);
        REQUIRE_VALUE(value >= 0 && value <= most);
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        REQUIRE_VALUE(value >= -1 && value <= 100);
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    REQUIRE_CONTEXT(context);
    return get_attribute(value, attribute, function, context->ordinal);
}

CUresult cuKernelGetAttribute(int *value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_DEVICE(device);
    return get_attribute(value, attribute, kernel, device);
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    REQUIRE_CONTEXT(context);
    return set_attribute(attribute, value, function, context->ordinal);
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_DEVICE(device);
    return set_attribute(attribute, value, kernel, device);
}

static CUresult set_cache(const void *function, CUfunc_cache config)
{
    REQUIRE_VALUE((unsigned)config <= CU_FUNC_CACHE_PREFER_EQUAL);
    return gv_handle_find(GV_FUNCTION, function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config)
{
    REQUIRE_READY();
    return set_cache(function, config);
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_DEVICE(device);
    return set_cache(kernel, config);
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction function)
{
    REQUIRE_READY();
    REQUIRE_VALUE(state);
    REQUIRE(gv_handle_find(GV_FUNCTION, function), CUDA_ERROR_INVALID_HANDLE);
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
}

CUresult cuFuncLoad(CUfunction function)
{
    REQUIRE_READY();
    return gv_handle_find(GV_FUNCTION, function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* ---- occupancy: what threads and shared memory allow ---- */

static int attribute_of(CUcontext context, CUdevice_attribute attribute)
{
    int value = 0;
    cuDeviceGetAttribute(&value, attribute, context->ordinal);
    return value;
}

static int blocks_that_fit(CUcontext context, int threads, size_t shared)
{
    int warps = (threads + 31) / 32;
    int blocks = attribute_of(context, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR) / 32 / warps;
    int most = attribute_of(context, CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR);
    size_t all = (size_t)attribute_of(context, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
    size_t each = shared + (size_t)attribute_of(context, CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK);
    if (threads > 1024 || shared > (size_t)attribute_of(context, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN))
        return 0;
    blocks = blocks < most ? blocks : most;
    return (size_t)blocks < all / each ? blocks : (int)(all / each);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction function, int threads,
                                                              size_t shared, unsigned int flags)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(blocks && threads > 0 && flags <= CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE);
    REQUIRE(gv_handle_find(GV_FUNCTION, function), CUDA_ERROR_INVALID_HANDLE);
    *blocks = blocks_that_fit(context, threads, shared);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads, size_t shared)
{
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared, 0);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *threads, CUfunction function,
                                                   CUoccupancyB2DSize shared_of, size_t shared, int limit,
                                                   unsigned int flags)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(grid && threads && limit >= 0 && flags <= CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE);
    REQUIRE(gv_handle_find(GV_FUNCTION, function), CUDA_ERROR_INVALID_HANDLE);
    int best = 0, best_blocks = 0;
    for (int size = limit && limit < 1024 ? limit : 1024; size > 0; size = (size - 1) / 32 * 32) {
        int blocks = blocks_that_fit(context, size, shared_of ? shared_of(size) : shared);
        if (blocks * size > best_blocks * best) {
            best = size;
            best_blocks = blocks;
        }
    }
    *threads = best;
    *grid = best_blocks * attribute_of(context, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialBlockSize(int *grid, int *threads, CUfunction function, CUoccupancyB2DSize shared_of,
                                          size_t shared, int limit)
{
    return cuOccupancyMaxPotentialBlockSizeWithFlags(grid, threads, function, shared_of, shared, limit, 0);
}

/* ---- launches ---- */

static CUresult launch(const char *name, CUfunction function, CUstream stream, bool has_shape)
{
    REQUIRE_READY();
    if (gv_driver.state->launch_policy != GV_LAUNCH_NOOP)
        return (CUresult)gv_cuda_refuse(name);
    REQUIRE_CONTEXT(context);
    REQUIRE(gv_handle_find(GV_FUNCTION, function) && gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE_VALUE(has_shape);
    gv_cuda_record(GV_EVENT_LAUNCH, name, context->unit, CUDA_SUCCESS, 0);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                        unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared,
                        CUstream stream, void **parameters, void **extra)
{
    (void)shared, (void)parameters, (void)extra;
    return launch(__func__, function, stream, grid_x && grid_y && grid_z && block_x && block_y && block_z);
}
PER_THREAD(cuLaunchKernel, _ptsz);

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra)
{
    (void)parameters, (void)extra;
    return launch(__func__, function, config ? config->hStream : NULL,
                  config && config->gridDimX && config->gridDimY && config->gridDimZ && config->blockDimX &&
                      config->blockDimY && config->blockDimZ);
}
PER_THREAD(cuLaunchKernelEx, _ptsz);

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                                   unsigned int block_x, unsigned int block_y, unsigned int block_z,
                                   unsigned int shared, CUstream stream, void **parameters)
{
    (void)shared, (void)parameters;
    return launch(__func__, function, stream, grid_x && grid_y && grid_z && block_x && block_y && block_z);
}
PER_THREAD(cuLaunchCooperativeKernel, _ptsz);
