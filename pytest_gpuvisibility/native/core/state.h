/* The shared state of one simulated machine: the only definition of its layout.
 *
 * A machine is a directory. Its file `state` holds one `struct gv_state` and is mapped by every process that uses
 * the simulated driver; its file `ledger.jsonl` is appended to. Python never reads the structure: it goes through
 * the functions of python_api.c, exported by libgpuvisibility.so.
 *
 * A process may be killed at any instruction. What it holds is therefore never stored as a total: a total is summed
 * over the slots of living processes, and a slot belongs to (pid, start time, stack), so that neither a reused pid nor
 * another program started by exec inherits anything. A process that is dead but not yet reaped (a zombie) holds nothing.
 *
 * All programs of a machine must be in one pid namespace: to a process in another one, a pid means another process or
 * none, so what is held there counts as a dead process's.
 *
 * Limits: GV_MAX_DEVICES and GV_MAX_UNITS are checked when a machine is made. Where GV_MAX_PROCESSES living processes
 * hold slots, one more can initialise and ask, but opening a context is -ENOMEM, CUDA_ERROR_OUT_OF_MEMORY. So it is where
 * the disk has no room for another slot: the file is sparse, and a slot's blocks are claimed when it is first taken.
 */
#ifndef GPUVISIBILITY_STATE_H
#define GPUVISIBILITY_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GV_MAX_DEVICES 64
#define GV_MAX_UNITS 128 /* GPUs and MIG slices: whatever can hold a context */
#define GV_MAX_PROCESSES 4096
#define GV_UUID_SIZE 96 /* "MIG-GPU-<uuid>/<gi>/<ci>" fits */
#define GV_NAME_SIZE 96
#define GV_STATE_MAGIC UINT64_C(0x3376737570677667)

/* Injected faults of a device, as bits of gv_device.faults. */
enum gv_fault {
    GV_FAULT_NVML_UNKNOWN = 1 << 0,       /* every NVML call on the device answers NVML_ERROR_UNKNOWN */
    GV_FAULT_NVML_NO_PERMISSION = 1 << 1, /* ... NVML_ERROR_NO_PERMISSION */
    GV_FAULT_GPU_LOST = 1 << 2,           /* ... NVML_ERROR_GPU_IS_LOST; CUDA does not enumerate it */
};

/* Injected faults of the driver, as bits of gv_state.faults. */
enum gv_machine_fault {
    GV_FAULT_NOT_LOADED = 1 << 0,  /* NVML_ERROR_DRIVER_NOT_LOADED from nvmlInit; CUDA_ERROR_NO_DEVICE from cuInit */
    GV_FAULT_NO_NVML = 1 << 1,     /* NVML_ERROR_LIBRARY_NOT_FOUND from nvmlInit, where a process could load NVML at all */
    GV_FAULT_NVML_DENIED = 1 << 2, /* NVML_ERROR_NO_PERMISSION from nvmlInit; CUDA works */
};

enum gv_compute_mode { GV_COMPUTE_DEFAULT = 0, GV_COMPUTE_PROHIBITED = 2, GV_COMPUTE_EXCLUSIVE_PROCESS = 3 };

enum gv_launch_policy { GV_LAUNCH_ERROR = 0, GV_LAUNCH_NOOP = 1 };

struct gv_device {
    char uuid[GV_UUID_SIZE];
    char name[GV_NAME_SIZE];
    char pci_bus_id[20]; /* "00000000:07:00.0" */
    int32_t minor;
    int32_t cc_major, cc_minor;
    int32_t multiprocessors;
    double relative_speed;      /* CUDA_DEVICE_ORDER=FASTEST_FIRST sorts by it, descending; ties in index order */
    uint64_t memory;            /* bytes */
    _Atomic int32_t compute_mode;
    _Atomic uint32_t faults;
    bool mig_enabled;
};

/* Units 0 .. device_count-1 are the GPUs, in index order; the MIG slices follow, grouped by GPU. */
struct gv_unit {
    char uuid[GV_UUID_SIZE];
    char name[GV_NAME_SIZE];
    char profile[24];                               /* "1g.10gb"; "" for a whole GPU */
    int32_t device;                                 /* index of the GPU it is, or is cut from */
    int32_t gpu_instance, compute_instance;         /* -1 for a whole GPU */
    int32_t multiprocessors;
    uint64_t memory; /* bytes */
};

struct gv_usage {
    _Atomic uint64_t bytes;    /* allocated by the program; the context's own overhead is added by the reader */
    _Atomic uint32_t contexts; /* primary and created contexts alive on the unit */
    uint32_t reserved;
};

struct gv_process {
    _Atomic int32_t pid;        /* 0: the slot is free; negative: process -pid is about to own it */
    _Atomic uint64_t start;     /* field 22 of /proc/<pid>/stat, clock ticks after boot */
    _Atomic uint64_t stack;     /* field 28, the stack's start: another after an exec, which gives everything back */
    struct gv_usage usage[GV_MAX_UNITS];
};

struct gv_state {
    uint64_t magic;
    uint64_t size;     /* sizeof(struct gv_state): a library of another version refuses the file */
    uint64_t checksum; /* of everything up to `lock` that never changes */
    char inventory[GV_NAME_SIZE];
    char driver_version[32]; /* "580.95.05" */
    int32_t cuda_version;    /* 13000 */
    int32_t device_count, unit_count;
    uint32_t faults;        /* enum gv_machine_fault */
    uint32_t questions;     /* 1: NVML's answers about one GPU that decisions rest on are in the ledger too */
    struct gv_device device[GV_MAX_DEVICES];
    struct gv_unit unit[GV_MAX_UNITS];
    _Atomic uint64_t lock;         /* 0: free; else who holds it, so that everyone can tell whether that process lives */
    _Atomic uint32_t unlocks;      /* counts releases of the lock; a futex for those that wait */
    _Atomic int32_t process_limit; /* slots from here on were never used: no need to look at them */
    _Atomic uint64_t changes;      /* counts what was taken and given back: while it stays, only a death changes a total */
    _Atomic uint64_t lost_records; /* of the ledger: they could not be written, or not whole (a full disk) */
    _Atomic uint32_t launch_policy; /* enum gv_launch_policy */
    _Atomic uint64_t skipped_launches, refused_launches; /* of kernels, and of what a library would launch */
    struct gv_process process[GV_MAX_PROCESSES];
};

#define GV_CONTEXT_OVERHEAD (UINT64_C(450) << 20) /* bytes a context takes of its device, as NVML would show it */

/* Writes a new state file into an existing directory, and sets the magic number, size and checksum of `state`. 0 or
 * -errno: -EINVAL where a number in it is absurd, -ENOSPC where the disk has no room for it. */
int gv_state_create(const char *directory, struct gv_state *state);

/* Maps the state of a machine. 0 or -errno: -ENOENT (no machine there), -EPROTO (not a state file of this version),
 * -EBADMSG (damaged), and *state is NULL. Everything in it was checked then; a file that is truncated while it is mapped
 * is not survived. */
int gv_state_map(const char *directory, struct gv_state **state);
void gv_state_unmap(struct gv_state *state);

/* What `checksum` must be. */
uint64_t gv_state_checksum(const struct gv_state *state);

/* The machine that GPU_VISIBILITY_MACHINE names, mapped at the first call that finds one and kept; NULL without one.
 * A program that changes the variable stays on its machine until it initialises again: gv_machine_reopen goes where it
 * leads, if it leads somewhere. gv_machine_follow goes there in any case: without a machine there is none from then on. */
struct gv_state *gv_machine(void);
struct gv_state *gv_machine_reopen(void);
struct gv_state *gv_machine_follow(void);
/* The directory of the machine that gv_machine returned last; "" without one. */
const char *gv_machine_directory(void);

/* The process's start in clock ticks after boot; 0 where there is no such process, or it is dead and not yet reaped. */
uint64_t gv_process_start(pid_t pid);
/* Whether the slot is owned, and its owner is alive. */
bool gv_process_alive(const struct gv_process *process);

/* Bytes of a unit in use, contexts' overhead included: by one process; by all living ones. To see every process,
 * go over the slots 0 .. process_limit-1 that are gv_process_alive. */
uint64_t gv_usage_bytes(const struct gv_usage *usage);
uint64_t gv_unit_used(const struct gv_state *state, int unit);
/* ... of the memory that a unit has: the compute instances of one GPU instance share it. */
uint64_t gv_memory_used(const struct gv_state *state, int unit);
bool gv_shares_memory(const struct gv_state *state, int unit, int other);
/* ... of a GPU and all the slices cut from it. */
uint64_t gv_device_used(const struct gv_state *state, int device);

/* The calling process's own slot, claimed at its first call and after a fork; NULL when every slot is taken, or there is
 * no room on the disk for another. */
struct gv_process *gv_own_process(struct gv_state *state);

/* Take and give back memory of a unit. gv_take_memory: 0, or -ENOMEM where there is not so much left of the unit's memory. */
int gv_take_memory(struct gv_state *state, int unit, uint64_t bytes);
void gv_give_memory(struct gv_state *state, int unit, uint64_t bytes);

/* Open and close a context on a unit. gv_take_context: 0, -ENOMEM, or -EBUSY where the GPU's compute mode forbids it. */
int gv_take_context(struct gv_state *state, int unit);
void gv_give_context(struct gv_state *state, int unit);

#endif
