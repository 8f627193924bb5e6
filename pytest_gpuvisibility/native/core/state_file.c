/* The file of a machine's state: its checksum, making it, mapping it, and which one this process is on. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "locks.h"
#include "state.h"

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
    *state = NULL;
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
    if (error) {
        gv_state_unmap(*state);
        *state = NULL;
    }
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

struct gv_state *gv_machine_follow(void)
{
    const char *given = secure_getenv("GPU_VISIBILITY_MACHINE");
    gv_lock(GV_LOCK_MACHINE);
    struct opened *opened = atomic_load(&machine);
    if (!(given && *given && opened && strcmp(given, opened->given) == 0))
        atomic_store(&machine, given && *given ? open_machine(given) : NULL);
    opened = atomic_load(&machine);
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
