/* The names and meanings of the runtime's error codes. */
#include <stdio.h>

#include "cudart_generated.h"
#include "cudart_internal.h"

/* What a launch gets where it is refused; nothing else here returns it, so that its meaning can say what to do. */
#define NO_KERNELS                                                                                      \
    "no kernel image is available for execution on the device: a simulated GPU runs no kernels; to skip them, use " \
    "`gpu-visibility run --launch noop`, or pytest's --gpu-launch=noop"

static const struct gv_runtime_error *find(cudaError_t code)
{
    for (size_t i = 0; i < gv_runtime_error_count; i++)
        if (gv_runtime_error[i].code == (int)code)
            return &gv_runtime_error[i];
    return NULL;
}

const char *cudaGetErrorName(cudaError_t code)
{
    const struct gv_runtime_error *found = find(code);
    return found ? found->name : "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t code)
{
    static _Thread_local char refusal[160];
    const struct gv_runtime_error *found = find(code);
    if (code == cudaErrorNoKernelImageForDevice)
        return NO_KERNELS;
    if (code == cudaErrorNotSupported && gv_last_refused()) {
        snprintf(refusal, sizeof refusal, "operation not supported: a simulated GPU does not offer %s",
                 gv_last_refused());
        return refusal;
    }
    return found ? found->meaning : "unrecognized error code";
}
