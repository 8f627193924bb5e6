/* What the parts of libcudart.so.12 and libcudart.so.13 share. The sources are compiled once for each, against the
 * headers of that CUDA release.
 *
 * The runtime holds next to nothing: a stream, an event, a pool or a kernel of it is the driver's, and most of its
 * errors have the driver's numbers.
 *
 * To add a function, define it in any cudart_*.c with cuda_runtime_api.h's prototype: the weak stub of its name yields.
 * Where it is one of the driver's under another name it is a FORWARD, with the casts; of gv_initialise, if it asks
 * about a device that it is given, else of gv_enter, which gives the thread its context. Where it does more, it ends
 * with gv_leave or gv_fail, which keep the thread's last error, and what it cannot do is the driver's to refuse. What
 * only one release has, or has with other arguments, stands under #if CUDART_VERSION; a per-thread variant is a
 * PER_THREAD. */
#ifndef GPUVISIBILITY_CUDART_INTERNAL_H
#define GPUVISIBILITY_CUDART_INTERNAL_H

/* All ABIs that the headers know, each under its own name; and exported, though everything else here is hidden. */
#pragma GCC visibility push(default)
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <cuda_runtime_api.h>
#pragma GCC visibility pop

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/same_as.h"

/* A function's variants for the per-thread default stream: the driver finishes everything before it returns. */
#define PER_THREAD(function, suffix) SAME_AS(function##suffix, function)

static inline CUdeviceptr gv_address(const void *pointer)
{
    return (CUdeviceptr)(uintptr_t)pointer;
}

/* The runtime's answer, and the thread's last error where it is one. The runtime gives the driver's errors its own
 * names, and keeps their numbers. */
cudaError_t gv_leave(CUresult result);
cudaError_t gv_fail(cudaError_t error);

/* The driver is there, and not older than this runtime. */
CUresult gv_initialise(void);
/* ... and the thread has a context: its own, or the primary one of the device that it has chosen. */
CUresult gv_enter(void);
/* The primary context of a device, opened where it is not yet. */
CUresult gv_primary(int device, CUcontext *context);
/* The device of the thread's context, or the one that it has chosen. */
int gv_current_device(void);

#define REQUIRE(condition, error)    \
    do {                             \
        if (!(condition))            \
            return gv_fail((error)); \
    } while (0)
#define REQUIRE_VALUE(condition) REQUIRE(condition, cudaErrorInvalidValue)
#define TRY(call)                          \
    do {                                   \
        CUresult tried = (call);           \
        if (tried != CUDA_SUCCESS)         \
            return gv_leave(tried);        \
    } while (0)

/* All that a function does that is one of the driver's under another name. `enter` is gv_enter or gv_initialise. */
#define FORWARD(enter, call) \
    TRY(enter());            \
    return gv_leave(call)

/* The kernel behind a function's address or handle. cudaErrorInvalidDeviceFunction, as a CUresult, where it is none. */
CUresult gv_kernel(const void *function, CUkernel *kernel);

/* Records that a function is not offered, for cudaGetErrorString to name; cudaErrorNotSupported. */
int gv_cudart_refuse(const char *function);
/* The function that this thread was last refused, or NULL. */
const char *gv_last_refused(void);

#endif
