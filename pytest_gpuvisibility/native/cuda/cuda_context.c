/* Contexts: the primary one of each device, those a program makes, and which one is current in a thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_internal.h"

static CUcontext created; /* all that cuCtxCreate made, dead ones too */
static unsigned long long last_id;

/* ---- which contexts there are ---- */

static bool is_primary(CUcontext context)
{
    const char *first = (const char *)gv_driver.primary, *given = (const char *)context;
    return given >= first && given < first + sizeof gv_driver.primary &&
           (size_t)(given - first) % sizeof *gv_driver.primary == 0;
}

/* Under the lock: a context that was made once, alive or not; not a stray pointer. */
static bool is_known(CUcontext context)
{
    if (is_primary(context))
        return context->primary;
    for (CUcontext other = created; other; other = other->next)
        if (other == context)
            return true;
    return false;
}

static bool is_alive(CUcontext context)
{
    return is_known(context) && context->active;
}

bool gv_is_context(CUcontext context)
{
    gv_lock(GV_LOCK_CUDA);
    bool alive = context && is_alive(context);
    gv_unlock(GV_LOCK_CUDA);
    return alive;
}

bool gv_any_context(void)
{
    for (int ordinal = 0; ordinal < gv_driver.count; ordinal++)
        if (gv_driver.primary[ordinal].active || gv_driver.primary[ordinal].retained)
            return true;
    for (CUcontext context = created; context; context = context->next)
        if (context->active)
            return true;
    return false;
}

static CUresult open_context(CUcontext context)
{
    int error = gv_take_context(gv_driver.state, context->unit);
    CUresult result = error == -EBUSY    ? CUDA_ERROR_DEVICE_UNAVAILABLE
                      : error == -ENOMEM ? CUDA_ERROR_OUT_OF_MEMORY
                                         : CUDA_SUCCESS;
    gv_cuda_record_mask(context->unit);
    gv_cuda_record(GV_EVENT_CONTEXT, NULL, context->unit, result, 0);
    if (result != CUDA_SUCCESS)
        return result;
    static const size_t default_limit[CU_LIMIT_MAX] = {
        [CU_LIMIT_STACK_SIZE] = 1024,
        [CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20,
        [CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20,
        [CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2,
        [CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048,
        [CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64,
    };
    memcpy(context->limit, default_limit, sizeof context->limit);
    context->api_version = 3020;
    context->cache = CU_FUNC_CACHE_PREFER_NONE;
    context->shared = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    memset(context->peer, 0, sizeof context->peer);
    context->id = ++last_id;
    context->active = true;
    return CUDA_SUCCESS;
}

static void close_context(CUcontext context)
{
    gv_forget_memory(context);
    gv_forget_handles(context);
    gv_give_context(gv_driver.state, context->unit);
    context->active = false;
}

/* ---- primary contexts ---- */

bool gv_valid_context_flags(unsigned flags)
{
    return (flags & CU_CTX_SCHED_MASK) <= CU_CTX_SCHED_BLOCKING_SYNC && !(flags & ~(unsigned)CU_CTX_FLAGS_MASK);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(context);
    REQUIRE_DEVICE(device);
    CUcontext primary = &gv_driver.primary[device];
    gv_lock(GV_LOCK_CUDA);
    CUresult result = primary->active ? CUDA_SUCCESS : open_context(primary);
    if (result == CUDA_SUCCESS) {
        primary->retained++;
        *context = primary;
    }
    gv_unlock(GV_LOCK_CUDA);
    return result;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_DEVICE(device);
    CUcontext primary = &gv_driver.primary[device];
    gv_lock(GV_LOCK_CUDA);
    CUresult result = primary->retained ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    if (primary->retained && --primary->retained == 0 && primary->active)
        close_context(primary);
    gv_unlock(GV_LOCK_CUDA);
    return result;
}
SAME_AS(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2);

/* Takes everything from the context; those that retained it still have to release it. */
CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_DEVICE(device);
    CUcontext primary = &gv_driver.primary[device];
    gv_lock(GV_LOCK_CUDA);
    if (primary->active)
        close_context(primary);
    primary->flags = 0;
    gv_unlock(GV_LOCK_CUDA);
    return CUDA_SUCCESS;
}
SAME_AS(cuDevicePrimaryCtxReset, cuDevicePrimaryCtxReset_v2);

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned int flags)
{
    REQUIRE_READY();
    REQUIRE_DEVICE(device);
    REQUIRE_VALUE(gv_valid_context_flags(flags));
    gv_driver.primary[device].flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int *flags, int *active)
{
    REQUIRE_READY();
    REQUIRE_VALUE(flags && active);
    REQUIRE_DEVICE(device);
    *flags = gv_driver.primary[device].flags;
    *active = gv_driver.primary[device].active;
    return CUDA_SUCCESS;
}


/* The older one must come before the context. */
CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned int flags)
{
    REQUIRE_READY();
    REQUIRE_DEVICE(device);
    REQUIRE(!gv_driver.primary[device].active, CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE);
    return cuDevicePrimaryCtxSetFlags_v2(device, flags);
}

/* ---- the thread's stack ---- */

static __thread CUcontext stack[MAX_STACK];
static __thread int depth;

CUresult gv_current_context(CUcontext *context)
{
    REQUIRE(depth > 0 && stack[depth - 1], CUDA_ERROR_INVALID_CONTEXT);
    REQUIRE(stack[depth - 1]->active, CUDA_ERROR_CONTEXT_IS_DESTROYED);
    *context = stack[depth - 1];
    return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent_v2(CUcontext context)
{
    REQUIRE_READY();
    REQUIRE_VALUE(context);
    REQUIRE(gv_is_context(context), CUDA_ERROR_INVALID_CONTEXT);
    REQUIRE(depth < MAX_STACK, CUDA_ERROR_OUT_OF_MEMORY);
    stack[depth++] = context;
    return CUDA_SUCCESS;
}
SAME_AS(cuCtxPushCurrent, cuCtxPushCurrent_v2);

CUresult cuCtxPopCurrent_v2(CUcontext *context)
{
    REQUIRE_READY();
    REQUIRE(depth > 0, CUDA_ERROR_INVALID_CONTEXT);
    depth--;
    if (context)
        *context = stack[depth];
    return CUDA_SUCCESS;
}
SAME_AS(cuCtxPopCurrent, cuCtxPopCurrent_v2);

CUresult cuCtxSetCurrent(CUcontext context)
{
    REQUIRE_READY();
    REQUIRE(!context || gv_is_context(context), CUDA_ERROR_INVALID_CONTEXT);
    if (!context)
        depth -= depth > 0;
    else if (depth > 0)
        stack[depth - 1] = context;
    else
        stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context)
{
    REQUIRE_READY();
    REQUIRE_VALUE(context);
    *context = depth > 0 ? stack[depth - 1] : NULL;
    return CUDA_SUCCESS;
}

/* ---- contexts of the program's own ---- */

static CUresult create_context(CUcontext *result, unsigned flags, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(result && gv_valid_context_flags(flags));
    REQUIRE_DEVICE(device);
    REQUIRE(depth < MAX_STACK, CUDA_ERROR_OUT_OF_MEMORY);
    CUcontext context = calloc(1, sizeof *context);
    REQUIRE(context, CUDA_ERROR_OUT_OF_MEMORY);
    context->ordinal = device;
    context->unit = gv_driver.unit[device];
    context->flags = flags;
    gv_lock(GV_LOCK_CUDA);
    CUresult opened = open_context(context);
    if (opened == CUDA_SUCCESS) {
        context->next = created;
        created = context;
    }
    gv_unlock(GV_LOCK_CUDA);
    if (opened != CUDA_SUCCESS) {
        free(context);
        return opened;
    }
    stack[depth++] = context;
    *result = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxCreate(CUcontext *context, unsigned int flags, CUdevice device)
{
    return create_context(context, flags, device);
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned int flags, CUdevice device)
{
    return create_context(context, flags, device);
}

CUresult cuCtxCreate_v3(CUcontext *context, CUexecAffinityParam *affinity, int count, unsigned int flags,
                        CUdevice device)
{
    REQUIRE_VALUE(count >= 0 && !affinity == !count);
    REQUIRE(!count, CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
    return create_context(context, flags, device);
}

CUresult cuCtxCreate_v4(CUcontext *context, CUctxCreateParams *parameters, unsigned int flags, CUdevice device)
{
    REQUIRE(!parameters || !parameters->execAffinityParams, CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
    REQUIRE(!parameters || !parameters->cigParams, CUDA_ERROR_NOT_SUPPORTED);
    return create_context(context, flags, device);
}

CUresult cuCtxDestroy_v2(CUcontext context)
{
    REQUIRE_READY();
    REQUIRE_VALUE(context);
    gv_lock(GV_LOCK_CUDA);
    CUresult result = !is_known(context)  ? CUDA_ERROR_INVALID_CONTEXT
                      : context->primary  ? CUDA_ERROR_INVALID_CONTEXT
                      : !context->active  ? CUDA_ERROR_CONTEXT_IS_DESTROYED
                                          : CUDA_SUCCESS;
    if (result == CUDA_SUCCESS)
        close_context(context);
    gv_unlock(GV_LOCK_CUDA);
    if (result == CUDA_SUCCESS && depth > 0 && stack[depth - 1] == context)
        depth--;
    return result;
}
SAME_AS(cuCtxDestroy, cuCtxDestroy_v2);

SAME_AS(cuCtxDetach, cuCtxDestroy_v2);
