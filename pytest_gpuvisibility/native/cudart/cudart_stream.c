/* Streams and events. Nothing is ever captured: the functions that would begin it are refused. */
#include "cudart_internal.h"

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int priority)
{
    TRY(gv_enter());
    return gv_leave(cuStreamCreateWithPriority(stream, flags, priority));
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    TRY(gv_enter());
    return gv_leave(cuStreamDestroy_v2(stream));
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    TRY(gv_enter());
    return gv_leave(cuStreamSynchronize(stream));
}
PER_THREAD(cudaStreamSynchronize, _ptsz);

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    TRY(gv_enter());
    return gv_leave(cuStreamQuery(stream));
}
PER_THREAD(cudaStreamQuery, _ptsz);

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags)
{
    TRY(gv_enter());
    return gv_leave(cuStreamWaitEvent(stream, event, flags));
}
PER_THREAD(cudaStreamWaitEvent, _ptsz);

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int *priority)
{
    TRY(gv_enter());
    return gv_leave(cuStreamGetPriority(stream, priority));
}
PER_THREAD(cudaStreamGetPriority, _ptsz);

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned int *flags)
{
    TRY(gv_enter());
    return gv_leave(cuStreamGetFlags(stream, flags));
}
PER_THREAD(cudaStreamGetFlags, _ptsz);

cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long *id)
{
    TRY(gv_enter());
    return gv_leave(cuStreamGetId(stream, id));
}
PER_THREAD(cudaStreamGetId, _ptsz);

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int *device)
{
    CUcontext context;
    REQUIRE_VALUE(device);
    TRY(gv_enter());
    TRY(cuStreamGetCtx(stream, &context));
    TRY(cuCtxPushCurrent_v2(context));
    CUresult result = cuCtxGetDevice(device);
    TRY(cuCtxPopCurrent_v2(&context));
    return gv_leave(result);
}
PER_THREAD(cudaStreamGetDevice, _ptsz);

cudaError_t cudaStreamAttachMemAsync(cudaStream_t stream, void *pointer, size_t length, unsigned int flags)
{
    TRY(gv_enter());
    return gv_leave(cuStreamAttachMemAsync(stream, gv_address(pointer), length, flags));
}
PER_THREAD(cudaStreamAttachMemAsync, _ptsz);

/* The two kinds of callback differ in the name of the enumeration alone. */
cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void *argument,
                                  unsigned int flags)
{
    TRY(gv_enter());
    return gv_leave(cuStreamAddCallback(stream, (CUstreamCallback)(void (*)(void))callback, argument, flags));
}
PER_THREAD(cudaStreamAddCallback, _ptsz);

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *argument)
{
    TRY(gv_enter());
    return gv_leave(cuLaunchHostFunc(stream, function, argument));
}
PER_THREAD(cudaLaunchHostFunc, _ptsz);

/* ---- capture ---- */

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    TRY(gv_enter());
    return gv_leave(cuStreamIsCapturing(stream, (CUstreamCaptureStatus *)status));
}
PER_THREAD(cudaStreamIsCapturing, _ptsz);

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode)
{
    TRY(gv_enter());
    return gv_leave(cuThreadExchangeStreamCaptureMode((CUstreamCaptureMode *)mode));
}

#if CUDART_VERSION < 13000

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long long *id)
{
    cuuint64_t number;
    TRY(gv_enter());
    TRY(cuStreamGetCaptureInfo_v2(stream, (CUstreamCaptureStatus *)status, &number, NULL, NULL, NULL));
    if (id)
        *id = number;
    return cudaSuccess;
}
PER_THREAD(cudaStreamGetCaptureInfo, _ptsz);

cudaError_t cudaStreamGetCaptureInfo_v2(cudaStream_t stream, enum cudaStreamCaptureStatus *status,
                                        unsigned long long *id, cudaGraph_t *graph, const cudaGraphNode_t **nodes,
                                        size_t *count)
{
    TRY(gv_enter());
    return gv_leave(cuStreamGetCaptureInfo_v2(stream, (CUstreamCaptureStatus *)status, (cuuint64_t *)id, graph, nodes,
                                              count));
}
PER_THREAD(cudaStreamGetCaptureInfo_v2, _ptsz);

#define cudaStreamGetCaptureInfo cudaStreamGetCaptureInfo_v3
#define cudaStreamGetCaptureInfo_ptsz cudaStreamGetCaptureInfo_v3_ptsz

#endif

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges,
                                     size_t *count)
{
    TRY(gv_enter());
    return gv_leave(cuStreamGetCaptureInfo_v3(stream, (CUstreamCaptureStatus *)status, (cuuint64_t *)id, graph, nodes,
                                              (const CUgraphEdgeData **)edges, count));
}
PER_THREAD(cudaStreamGetCaptureInfo, _ptsz);

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    TRY(gv_enter());
    return gv_leave(cuEventCreate(event, flags));
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    TRY(gv_enter());
    return gv_leave(cuEventDestroy_v2(event));
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int flags)
{
    TRY(gv_enter());
    return gv_leave(cuEventRecordWithFlags(event, stream, flags));
}
PER_THREAD(cudaEventRecordWithFlags, _ptsz);

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}
PER_THREAD(cudaEventRecord, _ptsz);

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    TRY(gv_enter());
    return gv_leave(cuEventQuery(event));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    TRY(gv_enter());
    return gv_leave(cuEventSynchronize(event));
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t first, cudaEvent_t second)
{
    TRY(gv_enter());
    return gv_leave(cuEventElapsedTime(milliseconds, first, second));
}

#if CUDART_VERSION < 13000
SAME_AS(cudaEventElapsedTime_v2, cudaEventElapsedTime);
#endif
