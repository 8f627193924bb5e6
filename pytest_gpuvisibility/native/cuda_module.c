/* Modules, functions and kernel launches. None of it can be had, unless the machine was made with launch="noop": then
 * any code loads, any name is a function in it, and a launch is recorded and does nothing. */
#include <stdlib.h>
#include <string.h>

#include "cuda_handle.h"

#define REQUIRE_NOOP()                                      \
    do {                                                    \
        REQUIRE_READY();                                    \
        if (!pretends_to_launch())                          \
            return (CUresult)gv_cuda_refuse(__func__);      \
    } while (0)

static bool pretends_to_launch(void)
{
    return gv_driver.state->launch_policy == GV_LAUNCH_NOOP;
}

/* ---- modules and libraries ---- */

static CUresult load(enum gv_handle_kind kind, CUcontext context, const void *code, void **result)
{
    REQUIRE_VALUE(code && result);
    *result = gv_handle_new(kind, context);
    return *result ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult get_function(enum gv_handle_kind kind, void *parent, const char *name, void **function)
{
    REQUIRE_VALUE(function && name);
    struct gv_handle *found = gv_handle_find(kind, parent), *handle;
    REQUIRE(found, CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(handle = gv_handle_new(GV_FUNCTION, found->context), CUDA_ERROR_OUT_OF_MEMORY);
    handle->parent = found;
    handle->name = strdup(name);
    *function = handle;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    REQUIRE_NOOP();
    REQUIRE_CONTEXT(context);
    return load(GV_MODULE, context, image, (void **)module);
}

CUresult cuModuleLoad(CUmodule *module, const char *file)
{
    REQUIRE_NOOP();
    REQUIRE_CONTEXT(context);
    return load(GV_MODULE, context, file, (void **)module);
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int count, CUjit_option *options,
                            void **values)
{
    (void)count, (void)options, (void)values;
    REQUIRE_NOOP();
    REQUIRE_CONTEXT(context);
    return load(GV_MODULE, context, image, (void **)module);
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image)
{
    REQUIRE_NOOP();
    REQUIRE_CONTEXT(context);
    return load(GV_MODULE, context, image, (void **)module);
}

CUresult cuModuleUnload(CUmodule module)
{
    REQUIRE_NOOP();
    return gv_handle_free(GV_MODULE, module) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    REQUIRE_NOOP();
    return get_function(GV_MODULE, module, name, (void **)function);
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
    REQUIRE_READY();
    REQUIRE_VALUE(mode);
    *mode = CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
}

CUresult cuLibraryLoadData(CUlibrary *library, const void *code, CUjit_option *jit_options, void **jit_values,
                           unsigned int jit_count, CUlibraryOption *options, void **values, unsigned int count)
{
    (void)jit_options, (void)jit_values, (void)jit_count, (void)options, (void)values, (void)count;
    REQUIRE_NOOP();
    return load(GV_LIBRARY, NULL, code, (void **)library);
}

CUresult cuLibraryUnload(CUlibrary library)
{
    REQUIRE_NOOP();
    return gv_handle_free(GV_LIBRARY, library) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuLibraryGetKernel(CUkernel *kernel, CUlibrary library, const char *name)
{
    REQUIRE_NOOP();
    return get_function(GV_LIBRARY, library, name, (void **)kernel);
}

/* A kernel may be launched in a function's place, so it is one. */
CUresult cuKernelGetFunction(CUfunction *function, CUkernel kernel)
{
    REQUIRE_NOOP();
    REQUIRE_VALUE(function);
    REQUIRE(gv_handle_find(GV_FUNCTION, kernel), CUDA_ERROR_INVALID_HANDLE);
    *function = (CUfunction)kernel;
    return CUDA_SUCCESS;
}

/* ---- functions ---- */

CUresult cuFuncGetName(const char **name, CUfunction function)
{
    REQUIRE_NOOP();
    REQUIRE_VALUE(name);
    const struct gv_handle *handle = gv_handle_find(GV_FUNCTION, function);
    REQUIRE(handle, CUDA_ERROR_INVALID_HANDLE);
    *name = handle->name;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    int major, minor;
    REQUIRE_NOOP();
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(value && (unsigned)attribute < CU_FUNC_ATTRIBUTE_MAX);
    REQUIRE(gv_handle_find(GV_FUNCTION, function), CUDA_ERROR_INVALID_HANDLE);
    cuDeviceComputeCapability(&major, &minor, context->ordinal);
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = 1024;
        break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
        *value = 32;
        break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value = 10 * major + minor;
        break;
    default:
        *value = 0;
    }
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    (void)value;
    REQUIRE_NOOP();
    REQUIRE_VALUE((unsigned)attribute < CU_FUNC_ATTRIBUTE_MAX);
    return gv_handle_find(GV_FUNCTION, function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config)
{
    (void)config;
    REQUIRE_NOOP();
    return gv_handle_find(GV_FUNCTION, function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* ---- launches ---- */

static CUresult launch(const char *name, CUfunction function, CUstream stream, bool has_shape)
{
    REQUIRE_CONTEXT(context);
    REQUIRE(gv_handle_find(GV_FUNCTION, function) && gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE_VALUE(has_shape);
    gv_cuda_record("launch", name, context->unit, CUDA_SUCCESS, 0);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                        unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared,
                        CUstream stream, void **parameters, void **extra)
{
    (void)shared, (void)parameters, (void)extra;
    REQUIRE_NOOP();
    return launch(__func__, function, stream, grid_x && grid_y && grid_z && block_x && block_y && block_z);
}
PER_THREAD(cuLaunchKernel, _ptsz);

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra)
{
    (void)parameters, (void)extra;
    REQUIRE_NOOP();
    REQUIRE_VALUE(config);
    return launch(__func__, function, config->hStream,
                  config->gridDimX && config->gridDimY && config->gridDimZ && config->blockDimX && config->blockDimY &&
                      config->blockDimZ);
}
PER_THREAD(cuLaunchKernelEx, _ptsz);

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                                   unsigned int block_x, unsigned int block_y, unsigned int block_z,
                                   unsigned int shared, CUstream stream, void **parameters)
{
    (void)shared, (void)parameters;
    REQUIRE_NOOP();
    return launch(__func__, function, stream, grid_x && grid_y && grid_z && block_x && block_y && block_z);
}
PER_THREAD(cuLaunchCooperativeKernel, _ptsz);
