/* How a thread comes to its context, and what it was told last. */
#include "cudart_internal.h"
#include "cuda/siblings.h"

static _Thread_local cudaError_t last_error = cudaSuccess;
static _Thread_local const char *last_refused;
static _Thread_local int chosen_device;

/* ---- errors ---- */

cudaError_t gv_fail(cudaError_t error)
{
    return last_error = error;
}

cudaError_t gv_leave(CUresult result)
{
    if (result == CUDA_ERROR_NOT_SUPPORTED)
        last_refused = NULL; /* it was a function of the driver's */
    return result == CUDA_SUCCESS ? cudaSuccess : gv_fail((cudaError_t)result);
}

int gv_cudart_refuse(const char *function)
{
    last_refused = function;
    return gv_fail((cudaError_t)gv_driver_refuse(function));
}

const char *gv_last_refused(void)
{
    return last_refused;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

/* ---- initialisation ---- */

static int version(void)
{
    int driver = 0;
    cuDriverGetVersion(&driver);
    return driver && driver < CUDART_VERSION ? driver : CUDART_VERSION;
}

CUresult gv_initialise(void)
{
    int driver = 0;
    CUresult result = (CUresult)gv_driver_init_for_runtime();
    if (result != CUDA_SUCCESS)
        return result;
    cuDriverGetVersion(&driver);
    return driver / 1000 < CUDART_VERSION / 1000 ? (CUresult)cudaErrorInsufficientDriver : CUDA_SUCCESS;
}

CUresult gv_primary(int device, CUcontext *context)
{
    CUresult result = gv_initialise();
    return result == CUDA_SUCCESS ? cuDevicePrimaryCtxRetain(context, device) : result;
}

static CUresult choose(int device)
{
    CUcontext context;
    CUresult result = gv_primary(device, &context);
    return result == CUDA_SUCCESS ? cuCtxSetCurrent(context) : result;
}

CUresult gv_enter(void)
{
    CUdevice device;
    return cuCtxGetDevice(&device) == CUDA_SUCCESS ? CUDA_SUCCESS : choose(chosen_device);
}

int gv_current_device(void)
{
    CUdevice device;
    return cuCtxGetDevice(&device) == CUDA_SUCCESS ? device : chosen_device;
}

/* ---- the thread's device ---- */

/* Opens the device's primary context, as the runtime does from CUDA 12 on. */
cudaError_t cudaSetDevice(int device)
{
    TRY(choose(device));
    chosen_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    REQUIRE_VALUE(device);
    TRY(gv_initialise());
    *device = gv_current_device();
    return cudaSuccess;
}

cudaError_t cudaInitDevice(int device, unsigned int device_flags, unsigned int flags)
{
    CUcontext context;
    REQUIRE_VALUE(flags == 0 || flags == cudaInitDeviceFlagsAreValid);
    TRY(gv_initialise());
    if (flags)
        TRY(cuDevicePrimaryCtxSetFlags_v2(device, device_flags));
    return gv_leave(gv_primary(device, &context));
}

/* ---- versions ---- */

cudaError_t cudaDriverGetVersion(int *driver)
{
    REQUIRE_VALUE(driver);
    if (cuDriverGetVersion(driver) != CUDA_SUCCESS)
        *driver = 0; /* what the runtime says where there is no driver */
    return cudaSuccess;
}

/* That of the headers, but never newer than the driver, which real programs do not meet. */
cudaError_t cudaRuntimeGetVersion(int *runtime)
{
    REQUIRE_VALUE(runtime);
    *runtime = version();
    return cudaSuccess;
}

/* ---- how programs find the driver's functions ---- */

static cudaError_t find(const char *symbol, void **function, int newest, unsigned long long flags,
                        enum cudaDriverEntryPointQueryResult *status)
{
    CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    REQUIRE_VALUE(symbol && function);
    CUresult result = cuGetProcAddress_v2(symbol, function, newest, flags, &found);
    if (status)
        *status = (enum cudaDriverEntryPointQueryResult)found;
    if (result == CUDA_SUCCESS && !*function && !status)
        result = CUDA_ERROR_NOT_FOUND;
    return gv_leave(result);
}

cudaError_t cudaGetDriverEntryPoint(const char *symbol, void **function, unsigned long long flags,
                                    enum cudaDriverEntryPointQueryResult *status)
{
    return find(symbol, function, version(), flags, status);
}
PER_THREAD(cudaGetDriverEntryPoint, _ptsz);

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned int newest,
                                             unsigned long long flags, enum cudaDriverEntryPointQueryResult *status)
{
    return find(symbol, function, (int)newest, flags, status);
}
PER_THREAD(cudaGetDriverEntryPointByVersion, _ptsz);

/* ---- profiling: there is nothing to see ---- */

/* cuda_profiler_api.h is not among the headers. */
#pragma GCC visibility push(default)
cudaError_t cudaProfilerStart(void);
cudaError_t cudaProfilerStop(void);
#pragma GCC visibility pop

cudaError_t cudaProfilerStart(void)
{
    return gv_leave(gv_enter());
}

cudaError_t cudaProfilerStop(void)
{
    return gv_leave(gv_enter());
}
