/* Memory and events between processes. The handles are the driver's under other names. */
#include <string.h>

#include "cudart_internal.h"

_Static_assert(sizeof(cudaIpcMemHandle_t) == sizeof(CUipcMemHandle), "a memory handle is the driver's");
_Static_assert(sizeof(cudaIpcEventHandle_t) == sizeof(CUipcEventHandle), "an event handle is the driver's");

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *handle, void *pointer)
{
    FORWARD(gv_enter, cuIpcGetMemHandle((CUipcMemHandle *)handle, gv_address(pointer)));
}

cudaError_t cudaIpcOpenMemHandle(void **pointer, cudaIpcMemHandle_t handle, unsigned int flags)
{
    CUipcMemHandle same;
    memcpy(&same, &handle, sizeof same);
    TRY(gv_enter());
    return gv_leave(cuIpcOpenMemHandle_v2((CUdeviceptr *)pointer, same, flags));
}

cudaError_t cudaIpcCloseMemHandle(void *pointer)
{
    FORWARD(gv_enter, cuIpcCloseMemHandle(gv_address(pointer)));
}

cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t *handle, cudaEvent_t event)
{
    FORWARD(gv_enter, cuIpcGetEventHandle((CUipcEventHandle *)handle, event));
}

cudaError_t cudaIpcOpenEventHandle(cudaEvent_t *event, cudaIpcEventHandle_t handle)
{
    CUipcEventHandle same;
    memcpy(&same, &handle, sizeof same);
    TRY(gv_enter());
    return gv_leave(cuIpcOpenEventHandle(event, same));
}
