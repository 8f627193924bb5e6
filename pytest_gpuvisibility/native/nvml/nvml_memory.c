/* libnvidia-ml.so.1: memory, and the processes that hold it. */
#include "nvml_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- memory ---- */

/* Whether a process lives is asked of /proc, some microseconds each: too slow for a call that monitors make in loops.
 * So each thread keeps the totals that it summed. One is used again as long as nobody has taken or given back anything
 * (gv_state.changes), and for at most TRUSTED nanoseconds, in which a process may have been killed unnoticed. The lists
 * of processes are always asked for anew. */
enum { TRUSTED = 5000000 };

struct summed {
    const struct gv_state *state;
    uint64_t changes, used;
    int64_t at; /* CLOCK_MONOTONIC_COARSE, nanoseconds: it ticks every 1 to 10 ms */
};

static int64_t coarse_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t unit_used(const struct gv_state *state, int unit)
{
    static _Thread_local struct summed totals[GV_MAX_UNITS];
    struct summed *total = &totals[unit];
    uint64_t changes = atomic_load_explicit(&state->changes, memory_order_acquire);
    int64_t now = coarse_time();
    if (total->state != state || total->changes != changes || now - total->at >= TRUSTED)
        *total = (struct summed){state, changes, gv_unit_used(state, unit), now};
    return total->used;
}

/* A GPU's memory is used on the whole of it and on its slices. */
static uint64_t used_bytes(const struct gv_target *target)
{
    uint64_t used = gv_nvml_is_slice(target) ? 0 : unit_used(target->state, target->unit_index);
    for (int unit = target->state->device_count; unit < target->state->unit_count; unit++)
        if (gv_nvml_is_slice(target) ? gv_shares_memory(target->state, target->unit_index, unit)
                                     : target->state->unit[unit].device == target->device_index)
            used += unit_used(target->state, unit);
    return used;
}

static nvmlMemory_v2_t read_memory(const struct gv_target *target)
{
    uint64_t total = target->unit->memory, used = used_bytes(target);
    uint64_t reserved = gv_nvml_is_slice(target) ? 0 : gv_model_reserved_memory(target->device);
    if (used > total)
        used = total; /* what a process frees and another takes between two readings may be counted twice */
    if (reserved > total - used)
        reserved = total - used;
    return (nvmlMemory_v2_t){nvmlMemory_v2, total, reserved, total - reserved - used, used};
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    struct gv_target target;
    TRY(gv_nvml_asked(gv_nvml_unit(device, memory, &target), &target, "memory"));
    if (memory->version != nvmlMemory_v2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *memory = read_memory(&target);
    return NVML_SUCCESS;
}

/* The first version has no field for reserved memory, and counts it as used. */
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    struct gv_target target;
    TRY(gv_nvml_asked(gv_nvml_unit(device, memory, &target), &target, "memory"));
    nvmlMemory_v2_t all = read_memory(&target);
    *memory = (nvmlMemory_t){.total = all.total, .free = all.free, .used = all.used + all.reserved};
    return NVML_SUCCESS;
}

/* From Hopper on a GPU in MIG mode first maps all of its own memory. Its slices have an eighth of the rest for each of
 * their memory slices. */
nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *bar1)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, bar1, &target));
    const uint64_t mebibyte = UINT64_C(1) << 20;
    const struct gv_device *gpu = target.device;
    bool maps_memory = gpu->mig_enabled && gpu->cc_major >= 9;
    uint64_t total = gv_model_bar1(gpu), used = mebibyte;
    if (maps_memory)
        used = gpu->memory - gv_model_reserved_memory(gpu);
    if (gv_nvml_is_slice(&target)) {
        uint64_t kept = maps_memory ? 513 * mebibyte : 0;
        uint64_t shared = total > used + kept ? total - used - kept : 0;
        total = shared * gv_nvml_memory_slices(&target) / 8 / mebibyte * mebibyte;
        used = 0;
    }
    *bar1 = (nvmlBAR1Memory_t){.bar1Total = total, .bar1Free = total - used, .bar1Used = used};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetConfComputeProtectedMemoryUsage(nvmlDevice_t device, nvmlMemory_t *memory)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, memory, &target));
    *memory = (nvmlMemory_t){0};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned int *width)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, width, &target));
    *width = gv_model_of(target.device)->bus_width;
    return NVML_SUCCESS;
}

/* ---- processes ---- */

struct holder {
    unsigned int pid;
    uint64_t bytes;
    unsigned int gpu_instance, compute_instance; /* 0xFFFFFFFF without MIG */
};

/* Stores one holder in a caller's array, whose element type depends on the function's version. */
typedef void store_holder(void *array, unsigned int index, const struct holder *holder);

static void store_v1(void *array, unsigned int index, const struct holder *holder)
{
    nvmlProcessInfo_v1_t *entry = (nvmlProcessInfo_v1_t *)array + index;
    *entry = (nvmlProcessInfo_v1_t){.pid = holder->pid, .usedGpuMemory = holder->bytes};
}

static void store_v2(void *array, unsigned int index, const struct holder *holder)
{
    nvmlProcessInfo_v2_t *entry = (nvmlProcessInfo_v2_t *)array + index;
    *entry = (nvmlProcessInfo_v2_t){holder->pid, holder->bytes, holder->gpu_instance, holder->compute_instance};
}

static void store_detail(void *array, unsigned int index, const struct holder *holder)
{
    nvmlProcessDetail_v1_t *entry = (nvmlProcessDetail_v1_t *)array + index;
    *entry = (nvmlProcessDetail_v1_t){holder->pid, holder->bytes, holder->gpu_instance, holder->compute_instance, 0};
}

struct listing {
    const struct gv_target *target;
    void *array;
    unsigned int capacity, found;
    store_holder *store;
};

/* A GPU's own handle lists the processes of its slices too, each with the slice it is on. */
static void list_holdings(struct listing *listing, const struct gv_process *process)
{
    const struct gv_target *target = listing->target;
    for (int unit = 0, alive = -1; unit < target->state->unit_count && alive; unit++) {
        const struct gv_unit *held = &target->state->unit[unit];
        if (gv_nvml_is_slice(target) ? unit != target->unit_index : held->device != target->device_index)
            continue;
        struct holder holder = {(unsigned int)atomic_load(&process->pid), gv_usage_bytes(&process->usage[unit]),
                                (unsigned int)held->gpu_instance, (unsigned int)held->compute_instance};
        if (!holder.bytes)
            continue;
        if (alive < 0)
            alive = gv_process_alive(process);
        if (!alive)
            continue;
        if (listing->found < listing->capacity)
            listing->store(listing->array, listing->found, &holder);
        listing->found++;
    }
}

/* Fills the array, and sets *count to how many there are, also where that is more than fit. */
static nvmlReturn_t list_processes(const struct gv_target *target, unsigned int *count, void *array,
                                   store_holder *store)
{
    if (*count && !array)
        return NVML_ERROR_INVALID_ARGUMENT;
    struct listing listing = {target, array, *count, 0, store};
    for (int slot = 0, limit = atomic_load(&target->state->process_limit); slot < limit; slot++)
        list_holdings(&listing, &target->state->process[slot]);
    *count = listing.found;
    return listing.found > listing.capacity ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

static nvmlReturn_t list_compute(nvmlDevice_t device, unsigned int *count, void *array, store_holder *store)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, count, &target));
    return list_processes(&target, count, array, store);
}

/* Nothing draws on a simulated GPU, and no MPS daemon serves it. */
static nvmlReturn_t list_nothing(nvmlDevice_t device, unsigned int *count)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, count, &target));
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *infos)
{
    return list_compute(device, count, infos, store_v1);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_v2_t *infos)
{
    return list_compute(device, count, infos, store_v2);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos)
{
    return list_compute(device, count, infos, store_v2);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses(nvmlDevice_t device, unsigned int *count,
                                                   nvmlProcessInfo_v1_t *infos)
{
    (void)infos;
    return list_nothing(device, count);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2(nvmlDevice_t device, unsigned int *count,
                                                      nvmlProcessInfo_v2_t *infos)
{
    (void)infos;
    return list_nothing(device, count);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                      nvmlProcessInfo_t *infos)
{
    (void)infos;
    return list_nothing(device, count);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_v1_t *infos)
{
    (void)infos;
    return list_nothing(device, count);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int *count,
                                                        nvmlProcessInfo_v2_t *infos)
{
    (void)infos;
    return list_nothing(device, count);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                        nvmlProcessInfo_t *infos)
{
    (void)infos;
    return list_nothing(device, count);
}

nvmlReturn_t nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device, nvmlProcessDetailList_t *list)
{
    enum { COMPUTE = 0, LAST = 2 };
    struct gv_target target;
    TRY(gv_nvml_unit(device, list, &target));
    if (list->version != nvmlProcessDetailList_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (list->mode > LAST)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (list->mode == COMPUTE)
        return list_processes(&target, &list->numProcArrayEntries, list->procArray, store_detail);
    list->numProcArrayEntries = 0;
    return NVML_SUCCESS;
}

/* A simulated GPU computes nothing, so there never is a sample; NVML says so with NVML_ERROR_NOT_FOUND. */
static nvmlReturn_t no_samples(nvmlDevice_t device, const void *output)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, output, &target));
    return target.device->mig_enabled ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples,
                                             unsigned int *count, unsigned long long last_seen)
{
    (void)samples;
    (void)last_seen;
    nvmlReturn_t result = no_samples(device, count);
    if (result == NVML_ERROR_NOT_FOUND)
        *count = 0;
    return result;
}

nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device, nvmlProcessesUtilizationInfo_t *info)
{
    nvmlReturn_t result = no_samples(device, info);
    if (result != NVML_ERROR_NOT_FOUND)
        return result;
    if (info->version != nvmlProcessesUtilizationInfo_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    info->processSamplesCount = 0;
    return result;
}

/* ---- accounting: supported, and off ---- */

nvmlReturn_t nvmlDeviceGetAccountingMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, mode, &target));
    *mode = NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAccountingBufferSize(nvmlDevice_t device, unsigned int *size)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, size, &target));
    *size = 4000;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAccountingPids(nvmlDevice_t device, unsigned int *count, unsigned int *pids)
{
    (void)pids;
    return list_nothing(device, count);
}

nvmlReturn_t nvmlDeviceGetAccountingStats(nvmlDevice_t device, unsigned int pid, nvmlAccountingStats_t *stats)
{
    (void)pid;
    struct gv_target target;
    TRY(gv_nvml_gpu(device, stats, &target));
    return NVML_ERROR_NOT_FOUND;
}
