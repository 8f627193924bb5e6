/* Devices: which there are, what is set for them, and what they know of each other. */
#include "cudart_internal.h"

cudaError_t cudaGetDeviceCount(int *count)
{
    REQUIRE_VALUE(count);
    *count = 0;
    TRY(gv_initialise());
    return gv_leave(cuDeviceGetCount(count));
}

cudaError_t cudaDeviceSynchronize(void)
{
    FORWARD(gv_enter, cuCtxSynchronize());
}

cudaError_t cudaDeviceReset(void)
{
    FORWARD(gv_initialise, cuDevicePrimaryCtxReset_v2(gv_current_device()));
}

cudaError_t cudaSetDeviceFlags(unsigned int flags)
{
    TRY(gv_initialise());
    REQUIRE_VALUE(!(flags & ~(unsigned)cudaDeviceMask));
    return gv_leave(cuDevicePrimaryCtxSetFlags_v2(gv_current_device(), flags & ~(unsigned)cudaDeviceMapHost));
}

/* Host memory can always be mapped: the runtime says so in the flags. */
cudaError_t cudaGetDeviceFlags(unsigned int *flags)
{
    int active;
    REQUIRE_VALUE(flags);
    TRY(gv_initialise());
    TRY(cuDevicePrimaryCtxGetState(gv_current_device(), flags, &active));
    *flags |= cudaDeviceMapHost;
    return cudaSuccess;
}

/* ---- settings of the current context ---- */

cudaError_t cudaDeviceGetLimit(size_t *value, enum cudaLimit limit)
{
    FORWARD(gv_enter, cuCtxGetLimit(value, (CUlimit)limit));
}

cudaError_t cudaDeviceSetLimit(enum cudaLimit limit, size_t value)
{
    FORWARD(gv_enter, cuCtxSetLimit((CUlimit)limit, value));
}

cudaError_t cudaDeviceGetCacheConfig(enum cudaFuncCache *config)
{
    FORWARD(gv_enter, cuCtxGetCacheConfig((CUfunc_cache *)config));
}

cudaError_t cudaDeviceSetCacheConfig(enum cudaFuncCache config)
{
    FORWARD(gv_enter, cuCtxSetCacheConfig((CUfunc_cache)config));
}

cudaError_t cudaDeviceGetSharedMemConfig(enum cudaSharedMemConfig *config)
{
    FORWARD(gv_enter, cuCtxGetSharedMemConfig((CUsharedconfig *)config));
}

cudaError_t cudaDeviceSetSharedMemConfig(enum cudaSharedMemConfig config)
{
    FORWARD(gv_enter, cuCtxSetSharedMemConfig((CUsharedconfig)config));
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    FORWARD(gv_enter, cuCtxGetStreamPriorityRange(least, greatest));
}

cudaError_t cudaCtxResetPersistingL2Cache(void)
{
    FORWARD(gv_enter, cuCtxResetPersistingL2Cache());
}

#if CUDART_VERSION < 13000

/* Names of CUDA's first years. */

SAME_AS(cudaThreadSynchronize, cudaDeviceSynchronize);
SAME_AS(cudaThreadExit, cudaDeviceReset);

SAME_AS(cudaThreadGetLimit, cudaDeviceGetLimit);
SAME_AS(cudaThreadSetLimit, cudaDeviceSetLimit);

SAME_AS(cudaThreadGetCacheConfig, cudaDeviceGetCacheConfig);
SAME_AS(cudaThreadSetCacheConfig, cudaDeviceSetCacheConfig);

#endif

/* ---- names of devices ---- */

cudaError_t cudaDeviceGetPCIBusId(char *id, int size, int device)
{
    FORWARD(gv_initialise, cuDeviceGetPCIBusId(id, size, device));
}

cudaError_t cudaDeviceGetByPCIBusId(int *device, const char *id)
{
    FORWARD(gv_initialise, cuDeviceGetByPCIBusId(device, id));
}

/* ---- peers ---- */

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    FORWARD(gv_initialise, cuDeviceCanAccessPeer(can, device, peer));
}

cudaError_t cudaDeviceGetP2PAttribute(int *value, enum cudaDeviceP2PAttr attribute, int device, int peer)
{
    FORWARD(gv_initialise, cuDeviceGetP2PAttribute(value, (CUdevice_P2PAttribute)attribute, device, peer));
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned int flags)
{
    CUcontext context;
    TRY(gv_enter());
    REQUIRE(peer != gv_current_device(), cudaErrorInvalidDevice);
    TRY(gv_primary(peer, &context));
    return gv_leave(cuCtxEnablePeerAccess(context, flags));
}

cudaError_t cudaDeviceDisablePeerAccess(int peer)
{
    CUcontext context;
    TRY(gv_enter());
    REQUIRE(peer != gv_current_device(), cudaErrorInvalidDevice);
    TRY(gv_primary(peer, &context));
    return gv_leave(cuCtxDisablePeerAccess(context));
}
