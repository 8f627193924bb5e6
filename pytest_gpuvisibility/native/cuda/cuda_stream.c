/* Streams and events. There is nothing to wait for but the program's own callbacks: everything else is finished when its
 * call returns. */
#include <time.h>

#include "cuda_handle.h"

/* ---- streams ---- */

static bool is_default(CUstream stream)
{
    return !stream || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD;
}

bool gv_is_stream(CUstream stream)
{
    return is_default(stream) || gv_handle_find(GV_STREAM, stream);
}

/* A stream, and the context that it belongs to: a default stream to the current one. */
struct target {
    const struct gv_handle *stream; /* NULL: a default one */
    CUcontext context;
};

static CUresult find_stream(CUstream stream, struct target *target)
{
    REQUIRE_READY();
    target->stream = is_default(stream) ? NULL : gv_handle_find(GV_STREAM, stream);
    if (is_default(stream))
        return gv_current_context(&target->context);
    REQUIRE(target->stream, CUDA_ERROR_INVALID_HANDLE);
    target->context = target->stream->context;
    return CUDA_SUCCESS;
}

CUresult gv_stream_context(CUstream stream, CUcontext *context)
{
    struct target target;
    CUresult result = find_stream(stream, &target);
    if (result == CUDA_SUCCESS)
        *context = target.context;
    return result;
}

#define REQUIRE_STREAM(handle, target)                              \
    struct target target;                                           \
    do {                                                            \
        CUresult stream_result = find_stream((handle), &(target)); \
        if (stream_result != CUDA_SUCCESS)                          \
            return stream_result;                                   \
    } while (0)

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned int flags, int priority)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(stream && flags <= CU_STREAM_NON_BLOCKING);
    struct gv_handle *handle = gv_handle_new(GV_STREAM, context);
    REQUIRE(handle, CUDA_ERROR_OUT_OF_MEMORY);
    handle->flags = flags;
    handle->priority = priority > 0 ? 0 : priority < -5 ? -5 : priority;
    *stream = (CUstream)handle;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream, unsigned int flags)
{
    return cuStreamCreateWithPriority(stream, flags, 0);
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    REQUIRE_READY();
    REQUIRE(gv_handle_free(GV_STREAM, stream), CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}
SAME_AS(cuStreamDestroy, cuStreamDestroy_v2);

CUresult cuStreamSynchronize(CUstream stream)
{
    REQUIRE_STREAM(stream, target);
    gv_wait_for_callbacks();
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamSynchronize, _ptsz);

CUresult cuStreamQuery(CUstream stream)
{
    REQUIRE_STREAM(stream, target);
    return gv_callbacks_pending() ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
PER_THREAD(cuStreamQuery, _ptsz);

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(flags <= CU_EVENT_WAIT_EXTERNAL);
    REQUIRE(gv_handle_find(GV_EVENT, event), CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamWaitEvent, _ptsz);

CUresult cuStreamGetPriority(CUstream stream, int *priority)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(priority);
    *priority = target.stream ? target.stream->priority : 0;
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamGetPriority, _ptsz);

CUresult cuStreamGetFlags(CUstream stream, unsigned int *flags)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(flags);
    *flags = target.stream ? target.stream->flags : CU_STREAM_DEFAULT;
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamGetFlags, _ptsz);

CUresult cuStreamGetId(CUstream stream, unsigned long long *id)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(id);
    *id = target.stream ? target.stream->id : stream == CU_STREAM_PER_THREAD ? 2 : 1;
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamGetId, _ptsz);

CUresult cuStreamGetCtx(CUstream stream, CUcontext *context)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(context);
    *context = target.context;
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamGetCtx, _ptsz);

/* No stream is of a green context. */
CUresult cuStreamGetCtx_v2(CUstream stream, CUcontext *context, CUgreenCtx *green)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(context && green);
    *context = target.context;
    *green = NULL;
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamGetCtx_v2, _ptsz);

CUresult cuStreamGetGreenCtx(CUstream stream, CUgreenCtx *green)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(green);
    *green = NULL;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetDevice(CUstream stream, CUdevice *device)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(device);
    *device = target.context->ordinal;
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamGetDevice, _ptsz);

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(status);
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamIsCapturing, _ptsz);

/* Of a stream that is not capturing only the status is told; what else is asked for is set to nothing. */
CUresult cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **nodes, const CUgraphEdgeData **edges, size_t *count)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(status);
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    if (id)
        *id = 0;
    if (graph)
        *graph = NULL;
    if (nodes)
        *nodes = NULL;
    if (edges)
        *edges = NULL;
    if (count)
        *count = 0;
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamGetCaptureInfo_v3, _ptsz);

CUresult cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **nodes, size_t *count)
{
    return cuStreamGetCaptureInfo_v3(stream, status, id, graph, nodes, NULL, count);
}
PER_THREAD(cuStreamGetCaptureInfo_v2, _ptsz);

CUresult cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id)
{
    return cuStreamGetCaptureInfo_v3(stream, status, id, NULL, NULL, NULL, NULL);
}
PER_THREAD(cuStreamGetCaptureInfo, _ptsz);

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    static __thread CUstreamCaptureMode of_thread = CU_STREAM_CAPTURE_MODE_GLOBAL;
    REQUIRE_READY();
    REQUIRE_VALUE(mode && (unsigned)*mode <= CU_STREAM_CAPTURE_MODE_RELAXED);
    CUstreamCaptureMode before = of_thread;
    of_thread = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}

CUresult cuStreamAttachMemAsync(CUstream stream, CUdeviceptr pointer, size_t length, unsigned int flags)
{
    (void)length, (void)flags;
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(gv_device_range(pointer, 1, GV_READS));
    return CUDA_SUCCESS;
}
PER_THREAD(cuStreamAttachMemAsync, _ptsz);

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void *argument, unsigned int flags)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(callback && flags == 0);
    return gv_queue_callback((struct gv_callback){.with_status = callback, .stream = stream, .argument = argument});
}
PER_THREAD(cuStreamAddCallback, _ptsz);

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *argument)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(function);
    return gv_queue_callback((struct gv_callback){.function = function, .argument = argument});
}
PER_THREAD(cuLaunchHostFunc, _ptsz);

/* ---- events ---- */

CUresult cuEventCreate(CUevent *event, unsigned int flags)
{
    const unsigned known = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(event && !(flags & ~known));
    REQUIRE_VALUE(!(flags & CU_EVENT_INTERPROCESS) || (flags & CU_EVENT_DISABLE_TIMING));
    struct gv_handle *handle = gv_handle_new(GV_EVENT, context);
    REQUIRE(handle, CUDA_ERROR_OUT_OF_MEMORY);
    handle->flags = flags;
    *event = (CUevent)handle;
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event)
{
    REQUIRE_READY();
    REQUIRE(gv_handle_free(GV_EVENT, event), CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}
SAME_AS(cuEventDestroy, cuEventDestroy_v2);

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags)
{
    REQUIRE_STREAM(stream, target);
    REQUIRE_VALUE(flags <= CU_EVENT_RECORD_EXTERNAL);
    struct gv_handle *handle = gv_handle_find(GV_EVENT, event);
    REQUIRE(handle && handle->context == target.context, CUDA_ERROR_INVALID_HANDLE);
    clock_gettime(CLOCK_MONOTONIC, &handle->time);
    handle->recorded = true;
    return CUDA_SUCCESS;
}
PER_THREAD(cuEventRecordWithFlags, _ptsz);

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    return cuEventRecordWithFlags(event, stream, CU_EVENT_RECORD_DEFAULT);
}
PER_THREAD(cuEventRecord, _ptsz);

CUresult cuEventQuery(CUevent event)
{
    REQUIRE_READY();
    REQUIRE(gv_handle_find(GV_EVENT, event), CUDA_ERROR_INVALID_HANDLE);
    return gv_callbacks_pending() ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event)
{
    REQUIRE_READY();
    REQUIRE(gv_handle_find(GV_EVENT, event), CUDA_ERROR_INVALID_HANDLE);
    gv_wait_for_callbacks();
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime_v2(float *milliseconds, CUevent first, CUevent second)
{
    REQUIRE_READY();
    REQUIRE_VALUE(milliseconds);
    const struct gv_handle *from = gv_handle_find(GV_EVENT, first), *to = gv_handle_find(GV_EVENT, second);
    REQUIRE(from && to && from->recorded && to->recorded, CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(!((from->flags | to->flags) & CU_EVENT_DISABLE_TIMING), CUDA_ERROR_INVALID_HANDLE);
    *milliseconds = (float)((double)(to->time.tv_sec - from->time.tv_sec) * 1e3 +
                            (double)(to->time.tv_nsec - from->time.tv_nsec) / 1e6);
    return CUDA_SUCCESS;
}
SAME_AS(cuEventElapsedTime, cuEventElapsedTime_v2);
