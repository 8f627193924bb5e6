#include "locks.h"

pthread_mutex_t gv_locks[GV_LOCKS] = {[0 ... GV_LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER};
_Atomic(pthread_t) gv_forking;

static void take_all(void)
{
    for (int lock = 0; lock < GV_LOCKS; lock++)
        pthread_mutex_lock(&gv_locks[lock]);
    atomic_store(&gv_forking, pthread_self());
}

/* In the child too, where this thread has the same pthread_self. */
static void release_all(void)
{
    atomic_store(&gv_forking, 0);
    for (int lock = GV_LOCKS - 1; lock >= 0; lock--)
        pthread_mutex_unlock(&gv_locks[lock]);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(take_all, release_all, release_all);
}
