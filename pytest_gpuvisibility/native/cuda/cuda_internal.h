/* What the parts of libcuda.so.1 share.
 *
 * To add a function, define it in any cuda_*.c with cuda.h's prototype, each ABI under its own name (cuMemAlloc_v2):
 * the weak stub of its name yields, and cuGetProcAddress finds it. Begin with REQUIRE_READY, REQUIRE_DEVICE or
 * REQUIRE_CONTEXT, then check what is given. What the calls change is under GV_LOCK_CUDA, and the locks are taken in
 * the order of core/locks.h. Variants for the per-thread stream are a PER_THREAD, other names a SAME_AS; what a device
 * takes or gives is a gv_cuda_record, and what cannot be simulated is gv_cuda_refuse(__func__), never a success without
 * outputs. */
#ifndef GPUVISIBILITY_CUDA_INTERNAL_H
#define GPUVISIBILITY_CUDA_INTERNAL_H

/* All ABIs that the header knows, each under its own name; and exported, though everything else here is hidden. */
#pragma GCC visibility push(default)
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#pragma GCC visibility pop

#include "core/ledger.h"
#include "core/locks.h"
#include "core/same_as.h"
#include "core/state.h"

/* A function's variants for the per-thread default stream: every operation here is finished when it returns, so the
 * streams make no difference. */
#define PER_THREAD(function, suffix) SAME_AS(function##suffix, function)

#define MAX_STACK 128 /* contexts pushed by one thread */

/* What CUcontext points to. Destroyed ones stay allocated, so that a stale handle is recognised and not followed. */
struct CUctx_st {
    struct CUctx_st *next; /* of all that cuCtxCreate made */
    int ordinal, unit;
    bool primary, active;
    unsigned flags, api_version;
    unsigned retained; /* primary: how often */
    unsigned long long id;
    size_t limit[CU_LIMIT_MAX];
    CUfunc_cache cache;
    CUsharedconfig shared;
    unsigned long long peer[GV_MAX_UNITS]; /* by ordinal, the id of the context whose memory it has access to; or 0 */
};

/* What cuInit found, once and for all; set under GV_LOCK_CUDA. */
struct gv_driver {
    struct gv_state *state;
    int count;
    int unit[GV_MAX_UNITS]; /* by ordinal */
    char *visible_devices, *device_order;
    struct CUctx_st primary[GV_MAX_UNITS];
};
extern struct gv_driver gv_driver;

/* CUDA_SUCCESS once cuInit has succeeded in this process, and not in the one that it was forked from. Not under the
 * lock. */
CUresult gv_cuda_ready(void);
/* A CUDA runtime asks: it, and libraries over it, remember what they are told of the devices. */
void gv_cuda_note_runtime(void);
#define REQUIRE(condition, error) \
    do {                          \
        if (!(condition))         \
            return (error);       \
    } while (0)
#define REQUIRE_READY()                        \
    do {                                       \
        CUresult ready_result = gv_cuda_ready(); \
        if (ready_result != CUDA_SUCCESS)      \
            return ready_result;               \
    } while (0)
#define REQUIRE_VALUE(condition) REQUIRE(condition, CUDA_ERROR_INVALID_VALUE)

bool gv_is_device(CUdevice device);
/* Whether one device can reach the other's memory; units of the machine. */
bool gv_can_access(int unit, int peer);
const struct gv_unit *gv_unit_of(CUdevice device);
const struct gv_device *gv_device_of(CUdevice device);
struct gv_pci {
    unsigned domain, bus, device;
};
struct gv_pci gv_pci_of(CUdevice device);

/* A set of devices, by ordinal. */
struct gv_devices {
    uint64_t word[GV_MAX_UNITS / 64];
};
void gv_devices_set(struct gv_devices *devices, int ordinal, bool member);
bool gv_devices_has(const struct gv_devices *devices, int ordinal);
bool gv_devices_any(const struct gv_devices *devices);

#define REQUIRE_DEVICE(device) REQUIRE(gv_is_device(device), CUDA_ERROR_INVALID_DEVICE)

/* The calling thread's current context: CUDA_ERROR_INVALID_CONTEXT without one, CUDA_ERROR_CONTEXT_IS_DESTROYED. */
CUresult gv_current_context(CUcontext *context);
#define REQUIRE_CONTEXT(context)                                  \
    REQUIRE_READY();                                              \
    CUcontext context;                                            \
    do {                                                          \
        CUresult context_result = gv_current_context(&(context)); \
        if (context_result != CUDA_SUCCESS)                       \
            return context_result;                                \
    } while (0)
bool gv_is_context(CUcontext context); /* alive, and not a stray pointer */
bool gv_any_context(void);             /* one is alive, or will be released; under the lock */
bool gv_valid_context_flags(unsigned flags);

/* The program's own functions on a stream, which run in the order in which they were queued. */
struct gv_callback {
    struct gv_callback *next;
    CUhostFn function;
    CUstreamCallback with_status; /* instead of `function` */
    CUstream stream;
    void *argument;
};
CUresult gv_queue_callback(struct gv_callback callback);
bool gv_callbacks_pending(void);
/* Until every one that was queued before has run. */
void gv_wait_for_callbacks(void);
/* A stream that is alive, or one of the default ones; those have no context of their own. */
bool gv_is_stream(CUstream stream);
/* The context that a stream belongs to: a default stream to the current one. */
CUresult gv_stream_context(CUstream stream, CUcontext *context);

/* The memory that a pointer means, or NULL. Device: all of it must lie in one allocation. Any: a pointer into an
 * allocation must stay inside it; every other one but NULL is the host's, and trusted. */
enum gv_access { GV_READS, GV_WRITES };
void *gv_device_range(CUdeviceptr pointer, size_t size, enum gv_access access);
void *gv_any_range(const void *address, size_t size, enum gv_access access);
void gv_zero_range(void *address, size_t size);

/* Frees all memory, and all streams, events and modules, of a context. Under GV_LOCK_CUDA. */
void gv_forget_memory(CUcontext context);
void gv_forget_handles(CUcontext context);

/* Records an event of the process in the ledger. */
void gv_cuda_record(enum gv_event event, const char *function, int unit, CUresult result, uint64_t bytes);
/* GV_EVENT_REMASK where the mask is another than cuInit read, with the mask as it stands now. It changes nothing, which
 * a program that sets its mask so late does not know. */
void gv_cuda_record_mask(int unit);
/* GV_EVENT_PEER: this process reaches the memory of one of its devices from another; with the one that is not at home
 * there. */
void gv_cuda_record_peer(const char *function, int unit);
/* Records that a function is not offered; CUDA_ERROR_NOT_SUPPORTED. */
int gv_cuda_refuse(const char *function);

#endif
