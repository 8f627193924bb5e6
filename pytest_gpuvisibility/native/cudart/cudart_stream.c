/* Streams and events. Nothing is ever captured: the functions that would begin it are refused. */
#include "cudart_internal.h"

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int priority)
{
    FORWARD(gv_enter, cuStreamCreateWithPriority(stream, flags, priority));
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
    FORWARD(gv_enter, cuStreamDestroy_v2(stream));
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    FORWARD(gv_enter, cuStreamSynchronize(stream));
}
PER_THREAD(cudaStreamSynchronize, _ptsz);

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    FORWARD(gv_enter, cuStreamQuery(stream));
}
PER_THREAD(cudaStreamQuery, _ptsz);

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags)
{
    FORWARD(gv_enter, cuStreamWaitEvent(stream, event, flags));
}
PER_THREAD(cudaStreamWaitEvent, _ptsz);

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int *priority)
{
    FORWARD(gv_enter, cuStreamGetPriority(stream, priority));
}
PER_THREAD(cudaStreamGetPriority, _ptsz);

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned int *flags)
{
    FORWARD(gv_enter, cuStreamGetFlags(stream, flags));
}
PER_THREAD(cudaStreamGetFlags, _ptsz);

cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long *id)
{
    FORWARD(gv_enter, cuStreamGetId(stream, id));
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
    FORWARD(gv_enter, cuStreamAttachMemAsync(stream, gv_address(pointer), length, flags));
}
PER_THREAD(cudaStreamAttachMemAsync, _ptsz);

/* The two kinds of callback differ in the name of the enumeration alone. */
cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void *argument,
                                  unsigned int flags)
{
    FORWARD(gv_enter, cuStreamAddCallback(stream, (CUstreamCallback)(void (*)(void))callback, argument, flags));
}
PER_THREAD(cudaStreamAddCallback, _ptsz);

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *argument)
{
    FORWARD(gv_enter, cuLaunchHostFunc(stream, function, argument));
}
PER_THREAD(cudaLaunchHostFunc, _ptsz);

/* ---- capture ---- */

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    FORWARD(gv_enter, cuStreamIsCapturing(stream, (CUstreamCaptureStatus *)status));
}
PER_THREAD(cudaStreamIsCapturing, _ptsz);

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode)
{
    FORWARD(gv_enter, cuThreadExchangeStreamCaptureMode((CUstreamCaptureMode *)mode));
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
    FORWARD(gv_enter, cuStreamGetCaptureInfo_v2(stream, (CUstreamCaptureStatus *)status, (cuuint64_t *)id, graph,
                                                nodes, count));
}
PER_THREAD(cudaStreamGetCaptureInfo_v2, _ptsz);

#define cudaStreamGetCaptureInfo cudaStreamGetCaptureInfo_v3
#define cudaStreamGetCaptureInfo_ptsz cudaStreamGetCaptureInfo_v3_ptsz

#endif

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges,
                                     size_t *count)
{
    FORWARD(gv_enter, cuStreamGetCaptureInfo_v3(stream, (CUstreamCaptureStatus *)status, (cuuint64_t *)id, graph,
                                                nodes, (const CUgraphEdgeData **)edges, count));
}
PER_THREAD(cudaStreamGetCaptureInfo, _ptsz);

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    FORWARD(gv_enter, cuEventCreate(event, flags));
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    FORWARD(gv_enter, cuEventDestroy_v2(event));
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int flags)
{
    FORWARD(gv_enter, cuEventRecordWithFlags(event, stream, flags));
}
PER_THREAD(cudaEventRecordWithFlags, _ptsz);

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}
PER_THREAD(cudaEventRecord, _ptsz);

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    FORWARD(gv_enter, cuEventQuery(event));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    FORWARD(gv_enter, cuEventSynchronize(event));
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t first, cudaEvent_t second)
{
    FORWARD(gv_enter, cuEventElapsedTime(milliseconds, first, second));
}

#if CUDART_VERSION < 13000
SAME_AS(cudaEventElapsedTime_v2, cudaEventElapsedTime);
#endif
