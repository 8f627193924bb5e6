/* Modules and libraries. No code is ever read: any image loads, any name is a function in it, and it has no global
 * variables. */
#include <unistd.h>

#include "cuda_handle.h"

/* ---- modules and libraries ---- */

static CUresult load(enum gv_handle_kind kind, CUcontext context, const void *code, void **result)
{
    REQUIRE_VALUE(code && result);
    void *handle = gv_handle_new(kind, context);
    REQUIRE(handle, CUDA_ERROR_OUT_OF_MEMORY);
    *result = handle;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    REQUIRE_CONTEXT(context);
    return load(GV_MODULE, context, image, (void **)module);
}

CUresult cuModuleLoad(CUmodule *module, const char *file)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(module && file);
    REQUIRE(access(file, R_OK) == 0, CUDA_ERROR_FILE_NOT_FOUND);
    return load(GV_MODULE, context, file, (void **)module);
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int count, CUjit_option *options,
                            void **values)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(!count || (options && values));
    return load(GV_MODULE, context, image, (void **)module);
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image)
{
    REQUIRE_CONTEXT(context);
    return load(GV_MODULE, context, image, (void **)module);
}

CUresult cuModuleUnload(CUmodule module)
{
    REQUIRE_READY();
    struct gv_handle *handle = gv_handle_find(GV_MODULE, module);
    REQUIRE(handle && !handle->parent, CUDA_ERROR_INVALID_HANDLE); /* a library's module goes with it */
    gv_handle_free(GV_MODULE, module);
    return CUDA_SUCCESS;
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
    (void)values; /* some options have none */
    REQUIRE_READY();
    REQUIRE_VALUE((!jit_count || (jit_options && jit_values)) && (!count || options));
    return load(GV_LIBRARY, NULL, code, (void **)library);
}

CUresult cuLibraryLoadFromFile(CUlibrary *library, const char *file, CUjit_option *jit_options, void **jit_values,
                               unsigned int jit_count, CUlibraryOption *options, void **values, unsigned int count)
{
    REQUIRE_READY();
    REQUIRE_VALUE(library && file);
    REQUIRE(access(file, R_OK) == 0, CUDA_ERROR_FILE_NOT_FOUND);
    return cuLibraryLoadData(library, file, jit_options, jit_values, jit_count, options, values, count);
}

CUresult cuLibraryUnload(CUlibrary library)
{
    REQUIRE_READY();
    return gv_handle_free(GV_LIBRARY, library) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* ---- what is in them ---- */

static CUresult get_child(enum gv_handle_kind kind, const void *parent, enum gv_handle_kind wanted, const char *name,
                          CUcontext context, void **result)
{
    REQUIRE_VALUE(result);
    struct gv_handle *found = gv_handle_find(kind, parent);
    REQUIRE(found, CUDA_ERROR_INVALID_HANDLE);
    struct gv_handle *child = gv_handle_child(found, wanted, name, context ? context : found->context);
    REQUIRE(child, CUDA_ERROR_OUT_OF_MEMORY);
    *result = child;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    REQUIRE_READY();
    REQUIRE_VALUE(name && *name);
    return get_child(GV_MODULE, module, GV_FUNCTION, name, NULL, (void **)function);
}

CUresult cuLibraryGetKernel(CUkernel *kernel, CUlibrary library, const char *name)
{
    REQUIRE_READY();
    REQUIRE_VALUE(name && *name);
    return get_child(GV_LIBRARY, library, GV_FUNCTION, name, NULL, (void **)kernel);
}

CUresult cuLibraryGetModule(CUmodule *module, CUlibrary library)
{
    REQUIRE_CONTEXT(context);
    return get_child(GV_LIBRARY, library, GV_MODULE, NULL, context, (void **)module);
}

/* No name is that of a variable. */
static CUresult no_variable(enum gv_handle_kind kind, const void *parent, const char *name)
{
    REQUIRE_READY();
    REQUIRE_VALUE(name);
    REQUIRE(gv_handle_find(kind, parent), CUDA_ERROR_INVALID_HANDLE);
    return CUDA_ERROR_NOT_FOUND;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *pointer, size_t *size, CUmodule module, const char *name)
{
    REQUIRE_VALUE(pointer || size);
    return no_variable(GV_MODULE, module, name);
}

CUresult cuLibraryGetGlobal(CUdeviceptr *pointer, size_t *size, CUlibrary library, const char *name)
{
    REQUIRE_VALUE(pointer || size);
    return no_variable(GV_LIBRARY, library, name);
}

CUresult cuLibraryGetManaged(CUdeviceptr *pointer, size_t *size, CUlibrary library, const char *name)
{
    REQUIRE_VALUE(pointer || size);
    return no_variable(GV_LIBRARY, library, name);
}

CUresult cuLibraryGetUnifiedFunction(void **function, CUlibrary library, const char *name)
{
    REQUIRE_VALUE(function);
    return no_variable(GV_LIBRARY, library, name);
}

/* A kernel may be launched in a function's place, so it is one. */
CUresult cuKernelGetFunction(CUfunction *function, CUkernel kernel)
{
    REQUIRE_READY();
    REQUIRE_VALUE(function);
    REQUIRE(gv_handle_find(GV_FUNCTION, kernel), CUDA_ERROR_INVALID_HANDLE);
    *function = (CUfunction)kernel;
    return CUDA_SUCCESS;
}

static CUresult get_parent(const void *function, enum gv_handle_kind kind, void **parent)
{
    REQUIRE_READY();
    REQUIRE_VALUE(parent);
    const struct gv_handle *handle = gv_handle_find(GV_FUNCTION, function);
    REQUIRE(handle && gv_handle_find(kind, handle->parent), CUDA_ERROR_INVALID_HANDLE);
    *parent = handle->parent;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetLibrary(CUlibrary *library, CUkernel kernel)
{
    return get_parent(kernel, GV_LIBRARY, (void **)library);
}

CUresult cuFuncGetModule(CUmodule *module, CUfunction function)
{
    const struct gv_handle *handle = gv_handle_find(GV_FUNCTION, function);
    if (handle && gv_handle_find(GV_LIBRARY, handle->parent))
        return cuLibraryGetModule(module, (CUlibrary)handle->parent);
    return get_parent(function, GV_MODULE, (void **)module);
}
