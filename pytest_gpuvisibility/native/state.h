/* The shared state of one simulated machine: the only definition of its layout.
 *
 * A machine is a directory. Its file `state` holds one `struct gv_state` and is mapped by every process that uses
 * the simulated driver; its file `ledger.jsonl` is appended to. Python never reads the structure: it goes through
 * the functions below, exported by libgpuvisibility.so.
 *
 * A process may be killed at any instruction. What it holds is therefore never stored as a total: a total is summed
 * over the slots of living processes, and a slot belongs to (pid, start time), so that a reused pid inherits nothing.
 */
#ifndef GPUVISIBILITY_STATE_H
#define GPUVISIBILITY_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GV_MAX_DEVICES 64
#define GV_MAX_UNITS 128 /* GPUs and MIG slices: whatever can hold a context */
#define GV_MAX_PROCESSES 4096
#define GV_UUID_SIZE 96 /* "MIG-GPU-<uuid>/<gi>/<ci>" fits */
#define GV_NAME_SIZE 96
#define GV_STATE_MAGIC UINT64_C(0x3176737570677667)

/* Injected faults of a device, as bits of gv_device.faults. */
enum gv_fault {
    GV_FAULT_NVML_UNKNOWN = 1 << 0,       /* every NVML call on the device answers NVML_ERROR_UNKNOWN */
    GV_FAULT_NVML_NO_PERMISSION = 1 << 1, /* ... NVML_ERROR_NO_PERMISSION */
    GV_FAULT_GPU_LOST = 1 << 2,           /* ... NVML_ERROR_GPU_IS_LOST; CUDA does not enumerate it */
};

enum gv_compute_mode { GV_COMPUTE_DEFAULT = 0, GV_COMPUTE_PROHIBITED = 2, GV_COMPUTE_EXCLUSIVE_PROCESS = 3 };

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
    _Atomic int32_t pid;        /* 0: the slot is free */
    _Atomic uint64_t start;     /* field 22 of /proc/<pid>/stat, clock ticks after boot */
    struct gv_usage usage[GV_MAX_UNITS];
};

struct gv_state {
    uint64_t magic;
    uint64_t size; /* sizeof(struct gv_state): a library of another version refuses the file */
    char inventory[GV_NAME_SIZE];
    char driver_version[32]; /* "580.95.05" */
    int32_t cuda_version;    /* 13000 */
    int32_t device_count, unit_count;
    uint32_t launch_policy; /* 0: a kernel launch is an error; 1: it returns and does nothing */
    struct gv_device device[GV_MAX_DEVICES];
    struct gv_unit unit[GV_MAX_UNITS];
    pthread_mutex_t lock; /* robust, process-shared: taken to claim a slot and to check memory against its limit */
    struct gv_process process[GV_MAX_PROCESSES];
};

#define GV_CONTEXT_OVERHEAD (UINT64_C(450) << 20) /* bytes a context takes of its device, as NVML would show it */

#endif
