#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file ---- */

static int path_in(const char *directory, const char *name, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int initialise_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error)
        return -error;
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    error = pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return -error;
}

static int map_file(int file, struct gv_state **state)
{
    void *address = mmap(NULL, sizeof(struct gv_state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (address == MAP_FAILED)
        return -errno;
    *state = address;
    return 0;
}

int gv_state_create(const char *directory, const struct gv_state *content)
{
    char path[PATH_MAX];
    int error = path_in(directory, "state", path);
    if (error)
        return error;
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0)
        return -errno;
    struct gv_state *state = NULL;
    error = ftruncate(file, sizeof(struct gv_state)) ? -errno : map_file(file, &state);
    close(file);
    if (!error) {
        memcpy(state, content, offsetof(struct gv_state, lock));
        state->size = sizeof *state;
        error = initialise_lock(&state->lock);
        /* Last: a state without it is refused, so nobody uses one that is half written. */
        state->magic = error ? 0 : GV_STATE_MAGIC;
        gv_state_unmap(state);
    }
    if (error)
        unlink(path);
    return error;
}

int gv_state_map(const char *directory, struct gv_state **state)
{
    char path[PATH_MAX];
    int error = path_in(directory, "state", path);
    if (error)
        return error;
    int file = open(path, O_RDWR | O_CLOEXEC);
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
    if (!error && ((*state)->magic != GV_STATE_MAGIC || (*state)->size != sizeof(struct gv_state))) {
        gv_state_unmap(*state);
        error = -EPROTO;
    }
    return error;
}

void gv_state_unmap(struct gv_state *state)
{
    munmap(state, sizeof *state);
}

/* ---- the machine of this process ---- */

static pthread_mutex_t machine_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct gv_state *) machine;
static char machine_directory[PATH_MAX];

/* The machine that the environment names; a mapping once handed out stays, for others may still be reading it. */
static struct gv_state *open_machine(void)
{
    const char *directory = secure_getenv("GPU_VISIBILITY_MACHINE");
    struct gv_state *state = atomic_load(&machine);
    if (!directory || !*directory || strlen(directory) >= sizeof machine_directory)
        return state;
    if (state && strcmp(directory, machine_directory) == 0)
        return state;
    if (gv_state_map(directory, &state))
        return atomic_load(&machine);
    strcpy(machine_directory, directory);
    atomic_store(&machine, state);
    return state;
}

struct gv_state *gv_machine_reopen(void)
{
    pthread_mutex_lock(&machine_lock);
    struct gv_state *state = open_machine();
    pthread_mutex_unlock(&machine_lock);
    return state;
}

struct gv_state *gv_machine(void)
{
    struct gv_state *state = atomic_load(&machine);
    return state ? state : gv_machine_reopen();
}

const char *gv_machine_directory(void)
{
    return machine_directory;
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
    if (!pid)
        return false;
    if (!known_start) /* it has no /proc to tell the time by */
        return kill(pid, 0) == 0 || errno == EPERM;
    return read_identity(pid, &start, &stack) && start == known_start && (!stack || stack == known_stack);
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
        uint64_t bytes = gv_usage_bytes(&process->usage[unit]);
        if (bytes && gv_process_alive(process))
            used += bytes;
    }
    return used;
}

uint64_t gv_device_used(const struct gv_state *state, int device)
{
    uint64_t used = 0;
    for (int unit = 0; unit < state->unit_count; unit++)
        if (state->unit[unit].device == device)
            used += gv_unit_used(state, unit);
    return used;
}

/* ---- what a process takes ---- */

static void lock_state(struct gv_state *state)
{
    /* Whatever the dead owner was doing left every number valid: each is one store, and its slot is no longer counted. */
    if (pthread_mutex_lock(&state->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&state->lock);
}

static void unlock_state(struct gv_state *state)
{
    pthread_mutex_unlock(&state->lock);
}

/* Under the lock. Frees the slots of the dead, and returns a free one or NULL. */
static struct gv_process *find_free_slot(struct gv_state *state)
{
    struct gv_process *found = NULL;
    int limit = atomic_load(&state->process_limit);
    for (int slot = 0; slot < limit; slot++) {
        struct gv_process *process = &state->process[slot];
        if (atomic_load(&process->pid) && !gv_process_alive(process))
            atomic_store(&process->pid, 0);
        if (!found && !atomic_load(&process->pid))
            found = process;
    }
    if (!found && limit < GV_MAX_PROCESSES) {
        found = &state->process[limit];
        atomic_store(&state->process_limit, limit + 1);
    }
    return found;
}

/* After the change itself. Whoever is killed in between leaves totals that others have summed stale for as long as
 * they trust them without asking who lives: see nvml_memory.c. */
static void note_change(struct gv_state *state)
{
    atomic_fetch_add_explicit(&state->changes, 1, memory_order_release);
}

static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct gv_state *state;
    struct gv_process *process;
    pid_t pid;
} own;

static struct gv_process *claim_slot(struct gv_state *state, pid_t pid)
{
    lock_state(state);
    struct gv_process *process = find_free_slot(state);
    if (process) {
        memset(process->usage, 0, sizeof process->usage);
        uint64_t start = 0, stack = 0;
        read_identity(pid, &start, &stack);
        atomic_store(&process->start, start);
        atomic_store(&process->stack, stack);
        atomic_store(&process->pid, pid);
    }
    unlock_state(state);
    return process;
}

struct gv_process *gv_own_process(struct gv_state *state)
{
    pid_t pid = getpid();
    pthread_mutex_lock(&own_lock);
    if (own.state != state || own.pid != pid || !own.process) {
        own.process = claim_slot(state, pid);
        own.state = state;
        own.pid = pid;
    }
    struct gv_process *process = own.process;
    pthread_mutex_unlock(&own_lock);
    return process;
}

/* Under the lock: whether the unit has room for so many bytes more. */
static bool has_room(const struct gv_state *state, int unit, uint64_t bytes)
{
    uint64_t used = gv_unit_used(state, unit), memory = state->unit[unit].memory;
    return used <= memory && bytes <= memory - used;
}

int gv_take_memory(struct gv_state *state, int unit, uint64_t bytes)
{
    struct gv_process *process = gv_own_process(state);
    if (!process)
        return -ENOMEM;
    lock_state(state);
    int error = has_room(state, unit, bytes) ? 0 : -ENOMEM;
    if (!error)
        atomic_fetch_add(&process->usage[unit].bytes, bytes);
    note_change(state);
    unlock_state(state);
    return error;
}

void gv_give_memory(struct gv_state *state, int unit, uint64_t bytes)
{
    struct gv_process *process = gv_own_process(state);
    if (!process)
        return;
    atomic_fetch_sub(&process->usage[unit].bytes, bytes);
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
    lock_state(state);
    int mode = atomic_load(&state->device[device].compute_mode), error = 0;
    if (mode == GV_COMPUTE_PROHIBITED ||
        (mode == GV_COMPUTE_EXCLUSIVE_PROCESS && used_elsewhere(state, device, process)))
        error = -EBUSY;
    else if (!has_room(state, unit, GV_CONTEXT_OVERHEAD))
        error = -ENOMEM;
    else
        atomic_fetch_add(&process->usage[unit].contexts, 1);
    note_change(state);
    unlock_state(state);
    return error;
}

void gv_give_context(struct gv_state *state, int unit)
{
    struct gv_process *process = gv_own_process(state);
    if (!process)
        return;
    atomic_fetch_sub(&process->usage[unit].contexts, 1);
    note_change(state);
}
