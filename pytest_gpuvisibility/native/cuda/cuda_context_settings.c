/* What is known of a context, and set; and which other contexts' memory it reaches. */
#include "cuda_internal.h"

/* The context given, or the current one for NULL. */
static CUresult choose(CUcontext given, CUcontext *context)
{
    REQUIRE_READY();
    if (!given)
        return gv_current_context(context);
    REQUIRE(gv_is_context(given), CUDA_ERROR_INVALID_CONTEXT);
    *context = given;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice_v2(CUdevice *device, CUcontext given)
{
    CUcontext context;
    REQUIRE_VALUE(device);
    CUresult result = choose(given, &context);
    if (result == CUDA_SUCCESS)
        *device = context->ordinal;
    return result;
}

CUresult cuCtxGetDevice(CUdevice *device)
{
    return cuCtxGetDevice_v2(device, NULL);
}

CUresult cuCtxGetApiVersion(CUcontext given, unsigned int *version)
{
    CUcontext context;
    REQUIRE_VALUE(version);
    CUresult result = choose(given, &context);
    if (result == CUDA_SUCCESS)
        *version = context->api_version;
    return result;
}

CUresult cuCtxGetId(CUcontext given, unsigned long long *id)
{
    CUcontext context;
    REQUIRE_VALUE(id);
    CUresult result = choose(given, &context);
    if (result == CUDA_SUCCESS)
        *id = context->id;
    return result;
}

CUresult cuCtxSynchronize_v2(CUcontext given)
{
    CUcontext context;
    CUresult result = choose(given, &context);
    if (result == CUDA_SUCCESS)
        gv_wait_for_callbacks();
    return result;
}

CUresult cuCtxSynchronize(void)
{
    return cuCtxSynchronize_v2(NULL);
}

CUresult cuCtxGetFlags(unsigned int *flags)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(flags);
    *flags = context->flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetFlags(unsigned int flags)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(gv_valid_context_flags(flags));
    context->flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetLimit(size_t *value, CUlimit limit)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(value);
    REQUIRE((unsigned)limit < CU_LIMIT_MAX, CUDA_ERROR_UNSUPPORTED_LIMIT);
    *value = context->limit[limit];
    return CUDA_SUCCESS;
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    REQUIRE_CONTEXT(context);
    REQUIRE((unsigned)limit <= CU_LIMIT_PERSISTING_L2_CACHE_SIZE, CUDA_ERROR_UNSUPPORTED_LIMIT);
    context->limit[limit] = value;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCacheConfig(CUfunc_cache *config)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(config);
    *config = context->cache;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE((unsigned)config <= CU_FUNC_CACHE_PREFER_EQUAL);
    context->cache = config;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetSharedMemConfig(CUsharedconfig *config)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(config);
    *config = context->shared;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE((unsigned)config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE);
    if (config != CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE)
        context->shared = config;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    REQUIRE_CONTEXT(context);
    if (least)
        *least = 0;
    if (greatest)
        *greatest = -5;
    return CUDA_SUCCESS;
}

CUresult cuCtxResetPersistingL2Cache(void)
{
    REQUIRE_CONTEXT(context);
    return CUDA_SUCCESS;
}

/* ---- access to peers ---- */

static CUresult find_peer(CUcontext peer, CUcontext *context)
{
    int can = 0;
    REQUIRE_READY();
    CUresult result = gv_current_context(context);
    if (result != CUDA_SUCCESS)
        return result;
    REQUIRE(peer && peer != *context && gv_is_context(peer), CUDA_ERROR_INVALID_CONTEXT);
    cuDeviceCanAccessPeer(&can, (*context)->ordinal, peer->ordinal);
    return can ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags)
{
    CUcontext context;
    REQUIRE_VALUE(flags == 0);
    CUresult result = find_peer(peer, &context);
    if (result != CUDA_SUCCESS)
        return result;
    REQUIRE(context->peer[peer->ordinal] != peer->id, CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
    context->peer[peer->ordinal] = peer->id;
    gv_cuda_record_peer("cuCtxEnablePeerAccess", peer->unit);
    return CUDA_SUCCESS;
}

CUresult cuCtxDisablePeerAccess(CUcontext peer)
{
    REQUIRE_CONTEXT(context);
    REQUIRE(peer && gv_is_context(peer), CUDA_ERROR_INVALID_CONTEXT);
    REQUIRE(context->peer[peer->ordinal] == peer->id, CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
    context->peer[peer->ordinal] = 0;
    return CUDA_SUCCESS;
}
