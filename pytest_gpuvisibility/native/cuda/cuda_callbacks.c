/* The program's own functions on a stream. They run one after the other in a thread of their own, as the driver has it:
 * the caller may hold a lock that the callback takes. */
#include <stdlib.h>

#include "cuda_internal.h"

/* All of this under GV_LOCK_CALLBACKS. */
static pthread_cond_t callbacks_changed = PTHREAD_COND_INITIALIZER;
static struct gv_callback *first_callback, **last_link = &first_callback;
static unsigned long long callbacks_queued, callbacks_done;
static bool worker_started;
static __thread bool is_worker;

/* A child has neither the thread nor those that waited for it. But where a callback forked it, that one runs on. */
static void forget_callbacks(void)
{
    callbacks_changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    first_callback = NULL;
    last_link = &first_callback;
    callbacks_queued = is_worker;
    callbacks_done = 0;
    worker_started = is_worker;
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_callbacks);
}

static void *run_callbacks(void *unused)
{
    (void)unused;
    is_worker = true;
    gv_lock(GV_LOCK_CALLBACKS);
    for (;;) {
        while (!first_callback)
            pthread_cond_wait(&callbacks_changed, &gv_locks[GV_LOCK_CALLBACKS]);
        struct gv_callback *callback = first_callback;
        if (!(first_callback = callback->next))
            last_link = &first_callback;
        gv_unlock(GV_LOCK_CALLBACKS);
        if (callback->with_status)
            callback->with_status(callback->stream, CUDA_SUCCESS, callback->argument);
        else
            callback->function(callback->argument);
        free(callback);
        gv_lock(GV_LOCK_CALLBACKS);
        callbacks_done++;
        pthread_cond_broadcast(&callbacks_changed);
    }
    return NULL;
}

static bool start_worker(void)
{
    pthread_t thread;
    if (!worker_started && pthread_create(&thread, NULL, run_callbacks, NULL) == 0) {
        pthread_detach(thread);
        worker_started = true;
    }
    return worker_started;
}

CUresult gv_queue_callback(struct gv_callback callback)
{
    struct gv_callback *queued = malloc(sizeof *queued);
    REQUIRE(queued, CUDA_ERROR_OUT_OF_MEMORY);
    *queued = callback;
    gv_lock(GV_LOCK_CALLBACKS);
    bool started = start_worker();
    if (started) {
        *last_link = queued;
        last_link = &queued->next;
        callbacks_queued++;
        pthread_cond_broadcast(&callbacks_changed);
    }
    gv_unlock(GV_LOCK_CALLBACKS);
    if (!started)
        free(queued);
    return started ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

void gv_wait_for_callbacks(void)
{
    if (is_worker) /* a callback may not wait for itself */
        return;
    gv_lock(GV_LOCK_CALLBACKS);
    for (unsigned long long target = callbacks_queued; callbacks_done < target;)
        pthread_cond_wait(&callbacks_changed, &gv_locks[GV_LOCK_CALLBACKS]);
    gv_unlock(GV_LOCK_CALLBACKS);
}

bool gv_callbacks_pending(void)
{
    gv_lock(GV_LOCK_CALLBACKS);
    bool pending = callbacks_done < callbacks_queued;
    gv_unlock(GV_LOCK_CALLBACKS);
    return pending;
}
