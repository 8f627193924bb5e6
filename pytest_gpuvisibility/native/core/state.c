#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "locks.h"

/* ---- the file ---- */

static int path_in(const char *directory, const char *name, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int map_file(int file, struct gv_state **state)
{
    void *address = mmap(NULL, sizeof(struct gv_state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (address == MAP_FAILED)
        return -errno;
    *state = address;
    return 0;
}

/* FNV-1a on words of eight bytes, and on the bytes that are left. */
static uint64_t add_to_checksum(uint64_t sum, const void *data, size_t size)
{
    const unsigned char *byte = data;
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), byte += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, byte, sizeof word);
        sum = (sum ^ word) * UINT64_C(0x100000001b3);
        sum ^= sum >> 32;
    }
    for (; size; size--)
        sum = (sum ^ *byte++) * UINT64_C(0x100000001b3);
    return sum;
}

uint64_t gv_state_checksum(const struct gv_state *state)
{
    const size_t start = offsetof(struct gv_state, inventory);
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    sum = add_to_checksum(sum, (const char *)state + start, offsetof(struct gv_state, device) - start);
    for (int i = 0; i < GV_MAX_DEVICES; i++) {
        /* The compute mode and the faults, which may change, lie between. */
        const struct gv_device *device = &state->device[i];
        sum = add_to_checksum(sum, device, offsetof(struct gv_device, compute_mode));
        sum = add_to_checksum(sum, &device->mig_enabled, sizeof device->mig_enabled);
    }
    return add_to_checksum(sum, state->unit, sizeof state->unit);
}

static bool is_terminated(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

/* Far beyond any real device, and no sum or product of them overflows. */
#define MOST_MEMORY (UINT64_C(1) << 50)
#define MOST 65535

static bool within(int32_t number, int32_t low)
{
    return number >= low && number <= MOST;
}

static bool is_sound_device(const struct gv_device *device)
{
    int mode = atomic_load(&device->compute_mode);
    unsigned char mig_enabled; /* a bool that is neither 0 nor 1 may not even be read as one */
    memcpy(&mig_enabled, &device->mig_enabled, sizeof mig_enabled);
    return mig_enabled <= 1 && is_terminated(device->uuid, sizeof device->uuid) &&
           is_terminated(device->name, sizeof device->name) &&
           is_terminated(device->pci_bus_id, sizeof device->pci_bus_id) &&
           within(device->minor, 0) && within(device->cc_major, 0) && within(device->cc_minor, 0) &&
           within(device->multiprocessors, 0) && device->memory <= MOST_MEMORY &&
           (mode == GV_COMPUTE_DEFAULT || mode == GV_COMPUTE_PROHIBITED || mode == GV_COMPUTE_EXCLUSIVE_PROCESS);
}

static bool is_sound_unit(const struct gv_state *state, int index)
{
    const struct gv_unit *unit = &state->unit[index];
    return is_terminated(unit->uuid, sizeof unit->uuid) && is_terminated(unit->name, sizeof unit->name) &&
           is_terminated(unit->profile, sizeof unit->profile) && within(unit->gpu_instance, -1) &&
           within(unit->compute_instance, -1) && within(unit->multiprocessors, 0) && unit->memory <= MOST_MEMORY &&
           unit->device >= 0 && unit->device < state->device_count && (index >= state->device_count || unit->device == index);
}

/* Whether everything that is used as an index, a bound, a number or a text may be; the checksum finds all other damage. */
static bool is_sound(const struct gv_state *state)
{
    int limit = atomic_load(&state->process_limit);
    bool sound = state->device_count >= 0 && state->device_count <= GV_MAX_DEVICES &&
                 state->unit_count >= state->device_count && state->unit_count <= GV_MAX_UNITS && limit >= 0 &&
                 limit <= GV_MAX_PROCESSES && is_terminated(state->inventory, sizeof state->inventory) &&
                 is_terminated(state->driver_version, sizeof state->driver_version) && state->cuda_version >= 0;
    for (int i = 0; sound && i < state->device_count; i++)
        sound = is_sound_device(&state->device[i]);
    for (int i = 0; sound && i < state->unit_count; i++)
        sound = is_sound_unit(state, i);
    return sound;
}

static int write_at(int file, const void *bytes, size_t size, off_t offset)
{
    ssize_t written = pwrite(file, bytes, size, offset);
    if (written < 0)
        return -errno;
    return written == (ssize_t)size ? 0 : -ENOSPC;
}

/* Were the disk full later, touching a page without a block would kill the program. So everything before the slots is
 * written, which claims blocks for it and costs less than claiming them alone. The slots are nearly all of the file, and
 * mostly never used: theirs are claimed with each slot, see is_backed. */
static int write_state(int file, const struct gv_state *state)
{
    const size_t first = sizeof state->magic;
    int error = write_at(file, (const char *)state + first, offsetof(struct gv_state, process) - first, (off_t)first);
    if (!error && ftruncate(file, sizeof *state))
        error = -errno;
    /* Last: a state without it is refused, so nobody uses one that is half written. */
    return error ? error : write_at(file, &state->magic, first, 0);
}

int gv_state_create(const char *directory, struct gv_state *state)
{
    char path[PATH_MAX];
    if (!is_sound(state))
        return -EINVAL;
    int error = path_in(directory, "state", path);
    if (error)
        return error;
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0)
        return -errno;
    state->magic = GV_STATE_MAGIC;
    state->size = sizeof *state;
    state->checksum = gv_state_checksum(state);
    error = write_state(file, state);
    close(file);
    if (error)
        unlink(path);
    return error;
}

static int check(const struct gv_state *state)
{
    if (state->magic != GV_STATE_MAGIC || state->size != sizeof *state)
        return -EPROTO;
    return is_sound(state) && gv_state_checksum(state) == state->checksum ? 0 : -EBADMSG;
}

int gv_state_map(const char *directory, struct gv_state **state)
{
    char path[PATH_MAX];
    int error = path_in(directory, "state", path);
    if (error)
        return error;
    int file = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK); /* a FIFO of this name must not make us wait */
    if (file < 0)
        return -errno;
    struct stat status;
    if (fstat(file, &status))
        error = -errno;
    else if (!S_ISREG(status.st_mode) || status.st_size != (off_t)sizeof(struct gv_state))
        error = -EPROTO;
    else
        error = map_file(file, state);
    close(file);
    if (error)
        return error;
    error = check(*state);
    if (error)
        gv_state_unmap(*state);
    return error;
}

void gv_state_unmap(struct gv_state *state)
{
    munmap(state, sizeof *state);
}

/* ---- the machine of this process ---- */

/* One that was opened stays, state and all, for others may still be reading it. */
struct opened {
    struct gv_state *state;
    char *given, *directory; /* as the environment has it; absolute, for the program may move */
};

static _Atomic(struct opened *) machine; /* changed under GV_LOCK_MACHINE */

static struct opened *open_machine(const char *given)
{
    struct opened *opened = calloc(1, sizeof *opened);
    if (!opened)
        return NULL;
    opened->given = strdup(given);
    opened->directory = realpath(given, NULL);
    if (opened->given && opened->directory && gv_state_map(opened->directory, &opened->state) == 0)
        return opened;
    free(opened->given);
    free(opened->directory);
    free(opened);
    return NULL;
}

struct gv_state *gv_machine_reopen(void)
{
    const char *given = secure_getenv("GPU_VISIBILITY_MACHINE");
    gv_lock(GV_LOCK_MACHINE);
    struct opened *opened = atomic_load(&machine);
    if (given && *given && !(opened && strcmp(given, opened->given) == 0)) {
        struct opened *other = open_machine(given);
        if (other) {
            opened = other;
            atomic_store(&machine, opened);
        }
    }
    gv_unlock(GV_LOCK_MACHINE);
    return opened ? opened->state : NULL;
}

struct gv_state *gv_machine(void)
{
    struct opened *opened = atomic_load(&machine);
    return opened ? opened->state : gv_machine_reopen();
}

const char *gv_machine_directory(void)
{
    struct opened *opened = atomic_load(&machine);
    return opened ? opened->directory : "";
}

/* ---- processes ---- */

/* Fields 22 and 28 of /proc/<pid>/stat. False for a process that is not there, or is dead and not yet reaped. The
 * stack is 0 where this process may not see it. */
static bool read_identity(pid_t pid, uint64_t *start, uint64_t *stack)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return false;
    text[length] = 0;
    /* "pid (name) S ppid ...": the name may hold anything, so count from its last parenthesis. */
    const char *after_name = strrchr(text, ')');
    char status;
    long threads;
    if (!after_name ||
        sscanf(after_name + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %" SCNu64
               " %*u %*d %*u %*u %*u %" SCNu64,
               &status, &threads, start, stack) != 4)
        return false;
    /* A zombie holds nothing any more, but for one whose main thread alone has ended. */
    return !((status == 'Z' && threads <= 1) || status == 'X');
}

uint64_t gv_process_start(pid_t pid)
{
    uint64_t start, stack;
    return read_identity(pid, &start, &stack) ? start : 0;
}

bool gv_process_alive(const struct gv_process *process)
{
    pid_t pid = atomic_load(&process->pid);
    uint64_t known_start = atomic_load(&process->start), known_stack = atomic_load(&process->stack), start, stack;
    if (pid <= 0)
        return false;
    if (!known_start) /* it has no /proc to tell the time by */
        return kill(pid, 0) == 0 || errno == EPERM;
    if (!read_identity(pid, &start, &stack) || start != known_start)
        return false;
    return !stack || !known_stack || stack == known_stack;
}

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

/* ---- this process ---- */

/* Under GV_LOCK_OWN. */
static struct {
    pid_t pid; /* whose all this is: a child forked from it starts anew */
    uint64_t start, stack;
    struct gv_state *state;
    struct gv_process *process;
} own;

/* Under GV_LOCK_OWN. */
static void know_oneself(void)
{
    if (own.pid == getpid())
        return;
    own.pid = getpid();
    own.state = NULL;
    own.process = NULL;
    if (!read_identity(own.pid, &own.start, &own.stack))
        own.start = own.stack = 0;
}

/* ---- the lock ----
 *
 * Not a robust mutex of the C library, which waits for ever where its owner was stopped, or its bytes were damaged. */

#ifndef LOOK_AGAIN /* the fuzzers, which damage the lock all the time, wait less */
#define LOOK_AGAIN 5000000      /* nanoseconds that a waiter sleeps before it looks whether the holder still lives */
#define LONGEST_HOLD 2000000000 /* ... after which a holder is taken for stopped, and the lock is taken from it */
#endif

/* Who holds the lock: the pid, and what tells it from the pid's earlier and later owners. 0 there: no /proc. */
static uint64_t holder_of(pid_t pid, uint64_t start, uint64_t stack)
{
    uint32_t tag = start ? (uint32_t)(start * 2654435761u ^ stack >> 12) | 1 : 0;
    return (uint64_t)(uint32_t)pid << 32 | tag;
}

static bool is_holder_alive(uint64_t holder)
{
    pid_t pid = (pid_t)(holder >> 32);
    uint64_t start, stack;
    if (pid <= 0)
        return false;
    if (!(uint32_t)holder)
        return kill(pid, 0) == 0 || errno == EPERM;
    return read_identity(pid, &start, &stack) && (!stack || holder_of(pid, start, stack) == holder);
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

/* Returns what unlock_state must be given. Whatever a dead holder was doing left every number valid: each is one
 * store, and its slot is no longer counted. */
static uint64_t lock_state(struct gv_state *state)
{
    gv_lock(GV_LOCK_OWN);
    know_oneself();
    uint64_t self = holder_of(own.pid, own.start, own.stack), seen = 0;
    gv_unlock(GV_LOCK_OWN);
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

static void unlock_state(struct gv_state *state, uint64_t self)
{
    /* It is no longer ours where this process was stopped for too long. */
    atomic_compare_exchange_strong(&state->lock, &self, 0);
    atomic_fetch_add(&state->unlocks, 1);
    syscall(SYS_futex, &state->unlocks, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* ---- what a process takes ---- */

/* After the change itself. Whoever is killed in between leaves totals that others have summed stale for as long as
 * they trust them without asking who lives: see nvml_memory.c. */
static void note_change(struct gv_state *state)
{
    atomic_fetch_add_explicit(&state->changes, 1, memory_order_release);
}

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
    uint64_t lock = lock_state(state);
    pid_t self = getpid();
    struct gv_process *process = find_slot(state, self);
    if (process) {
        for (int unit = 0; unit < GV_MAX_UNITS; unit++) {
            atomic_store_explicit(&process->usage[unit].bytes, 0, memory_order_relaxed);
            atomic_store_explicit(&process->usage[unit].contexts, 0, memory_order_relaxed);
        }
        gv_lock(GV_LOCK_OWN);
        atomic_store(&process->start, own.start);
        atomic_store(&process->stack, own.stack);
        gv_unlock(GV_LOCK_OWN);
        atomic_store(&process->pid, self);
    }
    unlock_state(state, lock);
    return process;
}

/* The slot that this process has on the machine; NULL where it has none, or others took it for a dead process's. */
static struct gv_process *known_slot(struct gv_state *state)
{
    gv_lock(GV_LOCK_OWN);
    know_oneself();
    struct gv_process *process = own.state == state ? own.process : NULL;
    if (process && atomic_load(&process->pid) != own.pid)
        process = NULL;
    gv_unlock(GV_LOCK_OWN);
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
        own.state = state;
        own.process = process;
        gv_unlock(GV_LOCK_OWN);
    }
    gv_unlock(GV_LOCK_CLAIM);
    return process;
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
    uint64_t lock = lock_state(state);
    int error = has_room(state, unit, bytes) ? 0 : -ENOMEM;
    if (!error)
        atomic_fetch_add(&process->usage[unit].bytes, bytes);
    note_change(state);
    unlock_state(state, lock);
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
    uint64_t lock = lock_state(state);
    int mode = atomic_load(&state->device[device].compute_mode), error = 0;
    if (mode == GV_COMPUTE_PROHIBITED ||
        (mode == GV_COMPUTE_EXCLUSIVE_PROCESS && used_elsewhere(state, device, process)))
        error = -EBUSY;
    else if (!has_room(state, unit, GV_CONTEXT_OVERHEAD))
        error = -ENOMEM;
    else
        atomic_fetch_add(&process->usage[unit].contexts, 1);
    note_change(state);
    unlock_state(state, lock);
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
