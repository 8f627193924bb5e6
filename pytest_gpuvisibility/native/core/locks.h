/* Every lock of this process that the simulated driver has, in the order in which they are taken.
 *
 * A thread that holds one may take any that stands below it, and none above. Each library has its own set, and calls
 * only downwards from one to another: libcudart.so, holding its own, libcuda.so. Between GV_LOCK_CLAIM and GV_LOCK_OWN
 * comes one that is no mutex, for other processes take it too: that of the machine, of state_lock.c.
 *
 * A child has only the thread that forked, and would wait for ever for a lock that another one held at that moment. So
 * whoever forks takes all of them, here and nowhere else, and with that nothing that they guard is half done in the
 * child. Meanwhile they are that thread's: what else the program does at a fork (pthread_atfork) may call the driver. A
 * child made by vfork, clone or _Fork, of which the C library tells nobody, must not: it has to exec. */
#ifndef GPUVISIBILITY_LOCKS_H
#define GPUVISIBILITY_LOCKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum gv_lock {
    GV_LOCK_KERNELS,    /* cudart: the driver's kernels, each asked for once; held while the driver is asked */
    GV_LOCK_REGISTERED, /* cudart: what programs have registered */
    GV_LOCK_NVML,       /* nvml: how often it was initialised, and on which machine */
    GV_LOCK_EVENT_SETS, /* nvml: the event sets */
    GV_LOCK_CUDA,       /* cuda: all else of this process that its calls change; never held while calling back */
    GV_LOCK_HANDLES,    /* cuda: the table of handles; a context's are freed under GV_LOCK_CUDA */
    GV_LOCK_CALLBACKS,  /* cuda: those that wait for their turn */
    GV_LOCK_CLAIM,      /* core: held while a slot is claimed */
    GV_LOCK_OWN,        /* core: who this process is, and its slot; for moments */
    GV_LOCK_MACHINE,    /* core: which machine this process is on. The last: whoever writes to the ledger may take it */
    GV_LOCKS
};

extern pthread_mutex_t gv_locks[GV_LOCKS];
extern _Atomic(pthread_t) gv_forking; /* the thread that has all of them; 0: none */

static inline bool gv_is_forking(void)
{
    pthread_t forking = atomic_load_explicit(&gv_forking, memory_order_relaxed);
    return forking && forking == pthread_self();
}

static inline void gv_lock(enum gv_lock lock)
{
    if (!gv_is_forking())
        pthread_mutex_lock(&gv_locks[lock]);
}

static inline void gv_unlock(enum gv_lock lock)
{
    if (!gv_is_forking())
        pthread_mutex_unlock(&gv_locks[lock]);
}

#endif
