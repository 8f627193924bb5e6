/* Kernel launches: refused, with an error of their own that says what to do, or skipped and counted, as the machine was
 * made. */
#include "cudart_internal.h"

/* crt/device_functions.h, which declares these, is C++. */
#pragma GCC visibility push(default)
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, struct CUstream_st *stream);
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream);
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared,
                               cudaStream_t stream);
extern __typeof__(__cudaLaunchKernel) __cudaLaunchKernel_ptsz;
#pragma GCC visibility pop

/* ---- what stands between <<< and >>> ---- */

#define DEEPEST 32 /* a configuration's own expressions may launch kernels */

static _Thread_local struct {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
} configuration[DEEPEST];
static _Thread_local unsigned depth;

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, struct CUstream_st *stream)
{
    if (depth == DEEPEST)
        return 1;
    configuration[depth].grid = grid;
    configuration[depth].block = block;
    configuration[depth].shared = shared;
    configuration[depth].stream = stream;
    depth++;
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
    REQUIRE(depth > 0, cudaErrorMissingConfiguration);
    REQUIRE_VALUE(grid && block && shared && stream);
    depth--;
    *grid = configuration[depth].grid;
    *block = configuration[depth].block;
    *shared = configuration[depth].shared;
    *(cudaStream_t *)stream = configuration[depth].stream;
    return cudaSuccess;
}

/* ---- launches ---- */

static bool is_shape(dim3 grid, dim3 block)
{
    return grid.x && grid.y && grid.z && block.x && block.y && block.z;
}

static cudaError_t launch(const void *function, dim3 grid, dim3 block, size_t shared, cudaStream_t stream)
{
    CUkernel kernel;
    TRY(gv_enter());
    TRY(gv_kernel(function, &kernel));
    REQUIRE(is_shape(grid, block), cudaErrorInvalidConfiguration);
    CUresult result = cuLaunchKernel((CUfunction)kernel, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                     (unsigned)shared, stream, NULL, NULL);
    return result == CUDA_ERROR_NOT_SUPPORTED ? gv_fail(cudaErrorNoKernelImageForDevice) : gv_leave(result);
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared,
                             cudaStream_t stream)
{
    (void)arguments;
    return launch(function, grid, block, shared, stream);
}
PER_THREAD(cudaLaunchKernel, _ptsz);

cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared,
                                        cudaStream_t stream)
{
    (void)arguments;
    return launch(function, grid, block, shared, stream);
}
PER_THREAD(cudaLaunchCooperativeKernel, _ptsz);

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **arguments)
{
    (void)arguments;
    REQUIRE_VALUE(config);
    return launch(function, config->gridDim, config->blockDim, config->dynamicSmemBytes, config->stream);
}
PER_THREAD(cudaLaunchKernelExC, _ptsz);

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared,
                               cudaStream_t stream)
{
    return cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}
PER_THREAD(__cudaLaunchKernel, _ptsz);
