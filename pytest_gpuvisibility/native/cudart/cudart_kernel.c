/* Kernels: by the address of the host's function, or by the handle that a library gave. All that is known of one is its
 * name. */
#include <string.h>

#include "core/locks.h"
#include "cudart_register.h"

/* crt/device_functions.h, which declares it, is C++. */
#pragma GCC visibility push(default)
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *function);
#pragma GCC visibility pop

/* ---- from an address or a handle to the driver's kernel ---- */

/* One library of the driver's holds all that programs have registered. Under GV_LOCK_KERNELS. */
static CUresult registered_kernel(struct gv_function *function)
{
    static CUlibrary library;
    CUresult result = CUDA_SUCCESS;
    if (!library)
        result = cuLibraryLoadData(&library, "", NULL, NULL, 0, NULL, NULL, 0);
    return result == CUDA_SUCCESS ? cuLibraryGetKernel(&function->kernel, library, function->name) : result;
}

CUresult gv_kernel(const void *function, CUkernel *kernel)
{
    CUresult result = CUDA_SUCCESS;
    const char *name;
    struct gv_function *registered = gv_registered_function(function);
    if (!registered) {
        *kernel = (CUkernel)function;
        return cuKernelGetName(&name, *kernel) == CUDA_SUCCESS ? result : (CUresult)cudaErrorInvalidDeviceFunction;
    }
    gv_lock(GV_LOCK_KERNELS);
    if (!registered->kernel)
        result = registered_kernel(registered);
    *kernel = registered->kernel;
    gv_unlock(GV_LOCK_KERNELS);
    return result;
}

cudaError_t cudaGetKernel(cudaKernel_t *kernel, const void *function)
{
    REQUIRE_VALUE(kernel);
    TRY(gv_initialise());
    return gv_leave(gv_kernel(function, kernel));
}
SAME_AS(__cudaGetKernel, cudaGetKernel);

cudaError_t cudaGetFuncBySymbol(cudaFunction_t *result, const void *function)
{
    CUkernel kernel;
    TRY(gv_enter());
    TRY(gv_kernel(function, &kernel));
    return gv_leave(cuKernelGetFunction(result, kernel));
}

/* ---- what is known of one, and set ---- */

cudaError_t cudaFuncGetName(const char **name, const void *function)
{
    CUkernel kernel;
    TRY(gv_initialise());
    TRY(gv_kernel(function, &kernel));
    return gv_leave(cuKernelGetName(name, kernel));
}

static int attribute(CUkernel kernel, CUfunction_attribute attribute)
{
    int value = 0;
    cuKernelGetAttribute(&value, attribute, kernel, gv_current_device());
    return value;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function)
{
    CUkernel kernel;
    REQUIRE_VALUE(attributes);
    TRY(gv_enter());
    TRY(gv_kernel(function, &kernel));
    memset(attributes, 0, sizeof *attributes);
    attributes->maxThreadsPerBlock = attribute(kernel, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
    attributes->numRegs = attribute(kernel, CU_FUNC_ATTRIBUTE_NUM_REGS);
    attributes->ptxVersion = attribute(kernel, CU_FUNC_ATTRIBUTE_PTX_VERSION);
    attributes->binaryVersion = attribute(kernel, CU_FUNC_ATTRIBUTE_BINARY_VERSION);
    attributes->maxDynamicSharedSizeBytes = attribute(kernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
    attributes->preferredShmemCarveout = attribute(kernel, CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT);
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    CUkernel kernel;
    TRY(gv_enter());
    TRY(gv_kernel(function, &kernel));
    return gv_leave(cuKernelSetAttribute((CUfunction_attribute)attribute, value, kernel, gv_current_device()));
}

cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, enum cudaFuncAttribute attribute, int value,
                                            int device)
{
    FORWARD(gv_initialise, cuKernelSetAttribute((CUfunction_attribute)attribute, value, kernel, device));
}

cudaError_t cudaFuncSetCacheConfig(const void *function, enum cudaFuncCache config)
{
    CUkernel kernel;
    TRY(gv_enter());
    TRY(gv_kernel(function, &kernel));
    return gv_leave(cuKernelSetCacheConfig(kernel, (CUfunc_cache)config, gv_current_device()));
}

cudaError_t cudaFuncSetSharedMemConfig(const void *function, enum cudaSharedMemConfig config)
{
    CUkernel kernel;
    REQUIRE_VALUE((unsigned)config <= cudaSharedMemBankSizeEightByte);
    TRY(gv_initialise());
    return gv_leave(gv_kernel(function, &kernel));
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function, int threads,
                                                                   size_t shared, unsigned int flags)
{
    CUkernel kernel;
    TRY(gv_enter());
    TRY(gv_kernel(function, &kernel));
    return gv_leave(
        cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, (CUfunction)kernel, threads, shared, flags));
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int threads, size_t shared)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared,
                                                                  cudaOccupancyDefault);
}

/* ---- variables: there are none, but their sizes are known ---- */

cudaError_t cudaGetSymbolSize(size_t *size, const void *symbol)
{
    REQUIRE_VALUE(size);
    TRY(gv_enter());
    const struct gv_variable *variable = gv_registered_variable(symbol);
    REQUIRE(variable, cudaErrorInvalidSymbol);
    *size = variable->size;
    return cudaSuccess;
}

/* ---- libraries that a program loads itself ---- */

cudaError_t cudaLibraryLoadData(cudaLibrary_t *library, const void *code, enum cudaJitOption *jit_options,
                                void **jit_values, unsigned int jit_count, enum cudaLibraryOption *options,
                                void **values, unsigned int count)
{
    FORWARD(gv_initialise, cuLibraryLoadData(library, code, (CUjit_option *)jit_options, jit_values, jit_count,
                                             (CUlibraryOption *)options, values, count));
}

cudaError_t cudaLibraryLoadFromFile(cudaLibrary_t *library, const char *file, enum cudaJitOption *jit_options,
                                    void **jit_values, unsigned int jit_count, enum cudaLibraryOption *options,
                                    void **values, unsigned int count)
{
    FORWARD(gv_initialise, cuLibraryLoadFromFile(library, file, (CUjit_option *)jit_options, jit_values, jit_count,
                                                 (CUlibraryOption *)options, values, count));
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library)
{
    FORWARD(gv_initialise, cuLibraryUnload(library));
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library, const char *name)
{
    FORWARD(gv_initialise, cuLibraryGetKernel(kernel, library, name));
}

cudaError_t cudaLibraryGetGlobal(void **pointer, size_t *size, cudaLibrary_t library, const char *name)
{
    FORWARD(gv_enter, cuLibraryGetGlobal((CUdeviceptr *)pointer, size, library, name));
}

cudaError_t cudaLibraryGetManaged(void **pointer, size_t *size, cudaLibrary_t library, const char *name)
{
    FORWARD(gv_enter, cuLibraryGetManaged((CUdeviceptr *)pointer, size, library, name));
}

cudaError_t cudaLibraryGetUnifiedFunction(void **function, cudaLibrary_t library, const char *name)
{
    FORWARD(gv_enter, cuLibraryGetUnifiedFunction(function, library, name));
}
