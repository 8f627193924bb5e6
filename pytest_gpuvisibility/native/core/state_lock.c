/* The lock of a machine, which its processes share: a word of its state that says who holds it. Not a robust mutex of the
 * C library, which waits for ever where its owner was stopped, or its bytes were damaged. */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "state_internal.h"

#ifndef LOOK_AGAIN /* the fuzzers, which damage the lock all the time, wait less */
#define LOOK_AGAIN 5000000      /* nanoseconds that a waiter sleeps before it looks whether the holder still lives */
#define LONGEST_HOLD 2000000000 /* ... after which a holder is taken for stopped, and the lock is taken from it */
#endif

/* Who holds the lock: the pid, and what tells it from the pid's earlier and later owners. 0 there: no /proc. */
static uint64_t as_holder(const struct gv_identity *who)
{
    uint32_t tag = who->start ? (uint32_t)(who->start * 2654435761u ^ who->stack >> 12) | 1 : 0;
    return (uint64_t)(uint32_t)who->pid << 32 | tag;
}

static bool is_holder_alive(uint64_t holder)
{
    pid_t pid = (pid_t)(holder >> 32);
    struct gv_identity found;
    if (pid <= 0)
        return false;
    if (!(uint32_t)holder)
        return kill(pid, 0) == 0 || errno == EPERM;
    return gv_identify(pid, &found) && (!found.stack || as_holder(&found) == holder);
}

static int64_t now(void)
{
    struct timespec time = {0};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void wait_for_unlock(struct gv_state *state, uint32_t unlocks)
{
    const struct timespec longest = {.tv_nsec = LOOK_AGAIN};
    syscall(SYS_futex, &state->unlocks, FUTEX_WAIT, unlocks, &longest, NULL, 0);
}

/* Whatever a dead holder was doing left every number valid: each is one
 * store, and its slot is no longer counted. */
uint64_t gv_state_lock(struct gv_state *state)
{
    const struct gv_identity own = gv_own_identity();
    uint64_t self = as_holder(&own), seen = 0;
    uint32_t seen_unlocks = 0;
    int64_t since = 0;
    for (;;) {
        uint32_t unlocks = atomic_load(&state->unlocks);
        uint64_t holder = 0;
        if (atomic_compare_exchange_strong(&state->lock, &holder, self))
            return self;
        if (holder != seen || unlocks != seen_unlocks || !since) {
            seen = holder;
            seen_unlocks = unlocks;
            since = now();
        } else if ((!is_holder_alive(holder) || now() - since > LONGEST_HOLD) &&
                   atomic_compare_exchange_strong(&state->lock, &holder, self)) {
            return self;
        }
        wait_for_unlock(state, unlocks);
    }
}

void gv_state_unlock(struct gv_state *state, uint64_t self)
{
    /* It is no longer ours where this process was stopped for too long. */
    atomic_compare_exchange_strong(&state->lock, &self, 0);
    atomic_fetch_add(&state->unlocks, 1);
    syscall(SYS_futex, &state->unlocks, FUTEX_WAKE, 1, NULL, NULL, 0);
}
