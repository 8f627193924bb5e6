/* What the processes of a machine take of it, and how much of it is taken. "The lock" is that of state_lock.c. */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "locks.h"
#include "state_internal.h"

/* ---- how much is taken ---- */

uint64_t gv_usage_bytes(const struct gv_usage *usage)
{
    return atomic_load(&usage->bytes) + atomic_load(&usage->contexts) * GV_CONTEXT_OVERHEAD;
}

uint64_t gv_unit_used(const struct gv_state *state, int unit)
{
    uint64_t used = 0;
    for (int slot = 0, limit = atomic_load(&state->process_limit); slot < limit; slot++) {
        const struct gv_process *process = &state->process[slot];
        /* Read again once the owner is known to live: meanwhile the slot may have changed hands. */
        if (gv_usage_bytes(&process->usage[unit]) && gv_process_alive(process))
            used += gv_usage_bytes(&process->usage[unit]);
    }
    return used;
}

bool gv_shares_memory(const struct gv_state *state, int unit, int other)
{
    const struct gv_unit *one = &state->unit[unit], *two = &state->unit[other];
    return unit == other ||
           (one->gpu_instance >= 0 && one->gpu_instance == two->gpu_instance && one->device == two->device);
}

static uint64_t used_of_memory(const struct gv_state *state, int unit,
                               uint64_t (*used_of)(const struct gv_state *, int))
{
    uint64_t used = 0;
    for (int other = 0; other < state->unit_count; other++)
        if (gv_shares_memory(state, unit, other))
            used += used_of(state, other);
    return used;
}

uint64_t gv_memory_used(const struct gv_state *state, int unit)
{
    return used_of_memory(state, unit, gv_unit_used);
}

uint64_t gv_device_used(const struct gv_state *state, int device)
{
    uint64_t used = 0;
    for (int unit = 0; unit < state->unit_count; unit++)
        if (state->unit[unit].device == device)
            used += gv_unit_used(state, unit);
    return used;
}

/* ---- the slot of this process ---- */

/* Under GV_LOCK_OWN. */
static struct own_slot {
    pid_t pid; /* whose it is: a child forked from it has none */
    struct gv_state *state;
    struct gv_process *process;
} own;

/* Whether nobody can want the slot any more that `pid` owns, or was about to own. */
static bool is_abandoned(const struct gv_process *process, pid_t pid)
{
    return pid < 0 ? !gv_process_start(-pid) && kill(-pid, 0) && errno == ESRCH : !gv_process_alive(process);
}

/* Marks a slot as about to be the caller's: a free one, or one whose owner is dead. */
static bool take_slot(struct gv_process *process, pid_t self)
{
    pid_t owner = atomic_load(&process->pid);
    if (owner && !is_abandoned(process, owner))
        return false;
    return atomic_compare_exchange_strong(&process->pid, &owner, -self);
}

/* Gives the page of a shared mapping a block of its file. False where there is none left: the kernel, which changes the
 * word here on our behalf (by "or 0"), is told so by an error, where we ourselves would be killed by SIGBUS. */
static bool gets_block(const void *word)
{
    const int or_zero = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0);
    return syscall(SYS_futex, word, FUTEX_WAKE_OP, 0, NULL, word, or_zero) >= 0 || errno != EFAULT;
}

_Static_assert(sizeof(struct gv_process) <= 4096, "a slot is on two pages at most: those of its first and last word");

/* Under the lock: whether a slot may be touched that is beyond process_limit, and so may have no blocks yet. */
static bool is_backed(const struct gv_process *process)
{
    return gets_block(process) && gets_block((const char *)(process + 1) - sizeof(uint32_t));
}

/* Under the lock. A process killed anywhere in here leaves a slot that is_abandoned. NULL: none is free, or the disk is
 * full. */
static struct gv_process *find_slot(struct gv_state *state, pid_t self)
{
    for (int slot = 0; slot < GV_MAX_PROCESSES; slot++) {
        int limit = atomic_load(&state->process_limit);
        if (slot >= limit && !is_backed(&state->process[slot]))
            return NULL;
        if (!take_slot(&state->process[slot], self))
            continue;
        while (limit <= slot && !atomic_compare_exchange_weak(&state->process_limit, &limit, slot + 1))
            continue;
        return &state->process[slot];
    }
    return NULL;
}

static struct gv_process *claim_slot(struct gv_state *state)
{
    uint64_t lock = gv_state_lock(state);
    const struct gv_identity self = gv_own_identity();
    struct gv_process *process = find_slot(state, self.pid);
    if (process) {
        for (int unit = 0; unit < GV_MAX_UNITS; unit++) {
            atomic_store_explicit(&process->usage[unit].bytes, 0, memory_order_relaxed);
            atomic_store_explicit(&process->usage[unit].contexts, 0, memory_order_relaxed);
        }
        atomic_store(&process->start, self.start);
        atomic_store(&process->stack, self.stack);
        atomic_store(&process->pid, self.pid);
    }
    gv_state_unlock(state, lock);
    return process;
}

/* The slot that this process has on the machine; NULL where it has none, or others took it for a dead process's. */
static struct gv_process *known_slot(struct gv_state *state)
{
    pid_t pid = getpid();
    gv_lock(GV_LOCK_OWN);
    struct gv_process *process = own.pid == pid && own.state == state ? own.process : NULL;
    gv_unlock(GV_LOCK_OWN);
    if (process && atomic_load(&process->pid) != pid)
        process = NULL;
    return process;
}

struct gv_process *gv_own_process(struct gv_state *state)
{
    struct gv_process *process = known_slot(state);
    if (process)
        return process;
    gv_lock(GV_LOCK_CLAIM);
    process = known_slot(state);
    if (!process && (process = claim_slot(state))) {
        gv_lock(GV_LOCK_OWN);
        own = (struct own_slot){getpid(), state, process};
        gv_unlock(GV_LOCK_OWN);
    }
    gv_unlock(GV_LOCK_CLAIM);
    return process;
}

/* ---- taking and giving back ---- */

/* After the change itself. Whoever is killed in between leaves totals that others have summed stale for as long as
 * they trust them without asking who lives: see nvml_memory.c. */
static void note_change(struct gv_state *state)
{
    atomic_fetch_add_explicit(&state->changes, 1, memory_order_release);
}

/* What all slots say is used of a unit, also those whose owners may have died; no less than what is. */
static uint64_t most_used(const struct gv_state *state, int unit)
{
    uint64_t used = 0;
    for (int slot = 0, limit = atomic_load(&state->process_limit); slot < limit; slot++)
        if (atomic_load(&state->process[slot].pid) > 0)
            used += gv_usage_bytes(&state->process[slot].usage[unit]);
    return used;
}

static bool fits(uint64_t memory, uint64_t used, uint64_t bytes)
{
    return used <= memory && bytes <= memory - used;
}

/* Under the lock: whether the unit has room for so many bytes more. Who lives is asked only where it matters. */
static bool has_room(const struct gv_state *state, int unit, uint64_t bytes)
{
    uint64_t memory = state->unit[unit].memory;
    return fits(memory, used_of_memory(state, unit, most_used), bytes) ||
           fits(memory, gv_memory_used(state, unit), bytes);
}

int gv_take_memory(struct gv_state *state, int unit, uint64_t bytes)
{
    struct gv_process *process = gv_own_process(state);
    if (!process)
        return -ENOMEM;
    uint64_t lock = gv_state_lock(state);
    int error = has_room(state, unit, bytes) ? 0 : -ENOMEM;
    if (!error)
        atomic_fetch_add(&process->usage[unit].bytes, bytes);
    note_change(state);
    gv_state_unlock(state, lock);
    return error;
}

/* No more can be given back than is held: below zero it would be all the memory there is. */
void gv_give_memory(struct gv_state *state, int unit, uint64_t bytes)
{
    struct gv_process *process = known_slot(state);
    if (!process)
        return;
    uint64_t held = atomic_load(&process->usage[unit].bytes);
    while (!atomic_compare_exchange_weak(&process->usage[unit].bytes, &held, held > bytes ? held - bytes : 0))
        continue;
    note_change(state);
}

/* Under the lock: whether a process other than this one has a context on the GPU or a slice of it. */
static bool used_elsewhere(const struct gv_state *state, int device, const struct gv_process *own_process)
{
    for (int slot = 0, limit = atomic_load(&state->process_limit); slot < limit; slot++) {
        const struct gv_process *process = &state->process[slot];
        if (process == own_process)
            continue;
        for (int unit = 0; unit < state->unit_count; unit++)
            if (state->unit[unit].device == device && atomic_load(&process->usage[unit].contexts) &&
                gv_process_alive(process))
                return true;
    }
    return false;
}

int gv_take_context(struct gv_state *state, int unit)
{
    struct gv_process *process = gv_own_process(state);
    if (!process)
        return -ENOMEM;
    int device = state->unit[unit].device;
    uint64_t lock = gv_state_lock(state);
    int mode = atomic_load(&state->device[device].compute_mode), error = 0;
    if (mode == GV_COMPUTE_PROHIBITED ||
        (mode == GV_COMPUTE_EXCLUSIVE_PROCESS && used_elsewhere(state, device, process)))
        error = -EBUSY;
    else if (!has_room(state, unit, GV_CONTEXT_OVERHEAD))
        error = -ENOMEM;
    else
        atomic_fetch_add(&process->usage[unit].contexts, 1);
    note_change(state);
    gv_state_unlock(state, lock);
    return error;
}

void gv_give_context(struct gv_state *state, int unit)
{
    struct gv_process *process = known_slot(state);
    if (!process)
        return;
    uint32_t held = atomic_load(&process->usage[unit].contexts);
    while (held && !atomic_compare_exchange_weak(&process->usage[unit].contexts, &held, held - 1))
        continue;
    note_change(state);
}
