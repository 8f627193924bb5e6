/* libnvidia-ml.so.1: MIG. How a machine's GPUs are cut is part of its inventory and does not change: what creates and
 * destroys instances is not supported. */
#include "nvml_internal.h"

#include <stdio.h>
#include <string.h>

enum { MOST_SLICES = 7 };

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, current && pending ? current : NULL, &target));
    if (!gv_model_has_mig(target.device))
        return NVML_ERROR_NOT_SUPPORTED;
    *current = *pending = target.device->mig_enabled ? NVML_DEVICE_MIG_ENABLE : NVML_DEVICE_MIG_DISABLE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, count, &target));
    *count = target.device->mig_enabled ? MOST_SLICES : 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *slice)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, slice, &target));
    if (!gv_model_has_mig(target.device))
        return NVML_ERROR_NOT_SUPPORTED;
    for (int unit = target.state->device_count; unit < target.state->unit_count; unit++)
        if (target.state->unit[unit].device == target.device_index && index-- == 0)
            return gv_nvml_handle(target.state, unit, slice);
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *is_slice)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, is_slice, &target));
    *is_slice = gv_nvml_is_slice(&target);
    return NVML_SUCCESS;
}

static nvmlReturn_t open_slice(nvmlDevice_t device, const void *output, struct gv_target *target)
{
    nvmlReturn_t result = gv_nvml_unit(device, output, target);
    return result == NVML_SUCCESS && !gv_nvml_is_slice(target) ? NVML_ERROR_NOT_SUPPORTED : result;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id)
{
    struct gv_target target;
    TRY(open_slice(device, id, &target));
    *id = (unsigned int)target.unit->gpu_instance;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id)
{
    struct gv_target target;
    TRY(open_slice(device, id, &target));
    *id = (unsigned int)target.unit->compute_instance;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t slice, nvmlDevice_t *device)
{
    struct gv_target target;
    TRY(open_slice(slice, device, &target));
    return gv_nvml_handle(target.state, target.device_index, device);
}

enum { MEMORY_SLICES = 8 };

/* How many of the eight parts of its GPU's memory a slice has: it gets a little less than so many eighths. */
unsigned int gv_nvml_memory_slices(const struct gv_target *target)
{
    uint64_t memory = target->device->memory;
    unsigned int slices = (unsigned int)((target->unit->memory * MEMORY_SLICES + memory / 2) / memory);
    return slices ? slices : 1;
}

/* "1c.3g.71gb" is a compute instance of 1 slice in a GPU instance of 3; "3g.71gb" has all 3. */
static void read_profile(const char *profile, unsigned int *compute_slices, unsigned int *gpu_slices)
{
    if (sscanf(profile, "%uc.%ug", compute_slices, gpu_slices) == 2)
        return;
    if (sscanf(profile, "%ug", gpu_slices) != 1)
        *gpu_slices = 1;
    *compute_slices = *gpu_slices;
}

struct engines {
    unsigned int copy, decoder, jpeg, ofa;
};

/* From Hopper on each slice brings a video and a JPEG decoder. An A100 has five video decoders, of which a slice gets
 * one with every two eighths of the memory. */
static struct engines engines_of(const struct gv_device *device, unsigned int gpu_slices, unsigned int memory_slices)
{
    bool hopper = device->cc_major >= 9, whole = gpu_slices == MOST_SLICES;
    return (struct engines){
        .copy = gpu_slices,
        .decoder = hopper ? gpu_slices : whole ? 5 : memory_slices / 2,
        .jpeg = hopper ? gpu_slices : whole,
        .ofa = whole,
    };
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    struct gv_target target;
    TRY(open_slice(device, attributes, &target));
    unsigned int compute_slices, gpu_slices;
    read_profile(target.unit->profile, &compute_slices, &gpu_slices);
    struct engines engines = engines_of(target.device, gpu_slices, gv_nvml_memory_slices(&target));
    *attributes = (nvmlDeviceAttributes_t){
        .multiprocessorCount = (unsigned int)target.unit->multiprocessors,
        .sharedCopyEngineCount = engines.copy,
        .sharedDecoderCount = engines.decoder,
        .sharedJpegCount = engines.jpeg,
        .sharedOfaCount = engines.ofa,
        .gpuInstanceSliceCount = gpu_slices,
        .computeInstanceSliceCount = compute_slices,
        .memorySizeMB = target.unit->memory >> 20,
    };
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetAttributes, nvmlDeviceGetAttributes_v2);

/* ---- profiles: into what a GPU can be cut ---- */

struct profile {
    unsigned int index, id, gpu_slices, memory_slices, instances;
};

/* NVIDIA's numbers for the profiles that all products with MIG have. */
static const struct profile profiles[] = {
    {NVML_GPU_INSTANCE_PROFILE_1_SLICE, 19, 1, 1, 7},      {NVML_GPU_INSTANCE_PROFILE_2_SLICE, 14, 2, 2, 3},
    {NVML_GPU_INSTANCE_PROFILE_3_SLICE, 9, 3, 4, 2},       {NVML_GPU_INSTANCE_PROFILE_4_SLICE, 5, 4, 4, 1},
    {NVML_GPU_INSTANCE_PROFILE_7_SLICE, 0, 7, 8, 1},       {NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV2, 15, 1, 2, 4},
};

enum { PROFILES = sizeof profiles / sizeof *profiles };

static bool has_mig(const struct gv_target *target)
{
    return gv_model_has_mig(target->device);
}

static const struct profile *profile_of_unit(const struct gv_target *target)
{
    unsigned int compute_slices, gpu_slices, memory_slices = gv_nvml_memory_slices(target);
    const struct profile *found = profiles;
    read_profile(target->unit->profile, &compute_slices, &gpu_slices);
    for (int i = 0; i < PROFILES; i++)
        if (profiles[i].gpu_slices == gpu_slices &&
            (found->gpu_slices != gpu_slices || profiles[i].memory_slices == memory_slices))
            found = &profiles[i];
    return found;
}

/* Multiprocessors come in groups, so a slice of 3 has more than three of 1 where some are left over. */
static unsigned int multiprocessors_of(const struct gv_device *device, const struct profile *profile)
{
    unsigned int all = (unsigned int)device->multiprocessors, one = all / MOST_SLICES & ~1U;
    if (device->cc_major >= 9) {
        one = all / MEMORY_SLICES;
        return profile->gpu_slices == MOST_SLICES ? all : one * profile->gpu_slices;
    }
    return one * profile->gpu_slices;
}

/* Some of each eighth is kept for the driver; what is left is a multiple of 128 MiB. */
static unsigned long long memory_of(const struct gv_device *device, const struct profile *profile)
{
    unsigned long long share = (device->memory >> 20) * profile->memory_slices / MEMORY_SLICES;
    return share * 98 / 100 / 128 * 128;
}

static void name_profile(const struct gv_device *device, const struct profile *profile, char *name, size_t size)
{
    unsigned long long gigabytes = ((device->memory >> 30) + 1) * profile->memory_slices / MEMORY_SLICES;
    snprintf(name, size, "MIG %ug.%llugb", profile->gpu_slices, gigabytes);
}

static nvmlGpuInstanceProfileInfo_v3_t describe(const struct gv_device *device, const struct profile *profile)
{
    struct engines engines = engines_of(device, profile->gpu_slices, profile->memory_slices);
    nvmlGpuInstanceProfileInfo_v3_t info = {
        .version = nvmlGpuInstanceProfileInfo_v3,
        .id = profile->id,
        .sliceCount = profile->gpu_slices,
        .instanceCount = profile->instances,
        .multiprocessorCount = multiprocessors_of(device, profile),
        .copyEngineCount = engines.copy,
        .decoderCount = engines.decoder,
        .jpegCount = engines.jpeg,
        .ofaCount = engines.ofa,
        .memorySizeMB = memory_of(device, profile),
    };
    name_profile(device, profile, info.name, sizeof info.name);
    return info;
}

/* By NVML_GPU_INSTANCE_PROFILE_..., or by the id that the GPU gives it. */
static nvmlReturn_t find_profile(nvmlDevice_t device, unsigned int number, bool by_id, const void *output,
                                 struct gv_target *target, const struct profile **found)
{
    TRY(gv_nvml_open_where(has_mig, device, output, target));
    if (!by_id && number >= NVML_GPU_INSTANCE_PROFILE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < PROFILES; i++)
        if ((by_id ? profiles[i].id : profiles[i].index) == number) {
            *found = &profiles[i];
            return NVML_SUCCESS;
        }
    return by_id ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfo(nvmlDevice_t device, unsigned int profile,
                                                 nvmlGpuInstanceProfileInfo_t *info)
{
    struct gv_target target;
    const struct profile *found;
    TRY(find_profile(device, profile, false, info, &target, &found));
    nvmlGpuInstanceProfileInfo_v3_t all = describe(target.device, found);
    *info = (nvmlGpuInstanceProfileInfo_t){
        .id = all.id,
        .sliceCount = all.sliceCount,
        .instanceCount = all.instanceCount,
        .multiprocessorCount = all.multiprocessorCount,
        .copyEngineCount = all.copyEngineCount,
        .decoderCount = all.decoderCount,
        .jpegCount = all.jpegCount,
        .ofaCount = all.ofaCount,
        .memorySizeMB = all.memorySizeMB,
    };
    return NVML_SUCCESS;
}

static nvmlReturn_t versioned_profile(nvmlDevice_t device, unsigned int number, bool by_id,
                                      nvmlGpuInstanceProfileInfo_v2_t *info)
{
    struct gv_target target;
    const struct profile *found;
    TRY(find_profile(device, number, by_id, info, &target, &found));
    nvmlGpuInstanceProfileInfo_v3_t all = describe(target.device, found);
    if (info->version == nvmlGpuInstanceProfileInfo_v3) {
        *(nvmlGpuInstanceProfileInfo_v3_t *)(void *)info = all;
        return NVML_SUCCESS;
    }
    if (info->version != nvmlGpuInstanceProfileInfo_v2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *info = (nvmlGpuInstanceProfileInfo_v2_t){
        .version = nvmlGpuInstanceProfileInfo_v2,
        .id = all.id,
        .sliceCount = all.sliceCount,
        .instanceCount = all.instanceCount,
        .multiprocessorCount = all.multiprocessorCount,
        .copyEngineCount = all.copyEngineCount,
        .decoderCount = all.decoderCount,
        .jpegCount = all.jpegCount,
        .ofaCount = all.ofaCount,
        .memorySizeMB = all.memorySizeMB,
    };
    memcpy(info->name, all.name, sizeof info->name);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfoV(nvmlDevice_t device, unsigned int profile,
                                                  nvmlGpuInstanceProfileInfo_v2_t *info)
{
    return versioned_profile(device, profile, false, info);
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfoByIdV(nvmlDevice_t device, unsigned int profile,
                                                      nvmlGpuInstanceProfileInfo_v2_t *info)
{
    return versioned_profile(device, profile, true, info);
}

nvmlReturn_t nvmlDeviceGetGpuInstancePossiblePlacements_v2(nvmlDevice_t device, unsigned int profile,
                                                           nvmlGpuInstancePlacement_t *placements, unsigned int *count)
{
    struct gv_target target;
    const struct profile *found;
    TRY(find_profile(device, profile, true, count, &target, &found));
    unsigned int size = found->memory_slices, possible = found->instances, capacity = *count;
    *count = possible;
    if (!placements)
        return NVML_SUCCESS;
    if (capacity < possible)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned int i = 0; i < possible; i++)
        placements[i] = (nvmlGpuInstancePlacement_t){.start = i * size, .size = size};
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetGpuInstancePossiblePlacements, nvmlDeviceGetGpuInstancePossiblePlacements_v2);

/* ---- GPU instances and compute instances: how it is cut ---- */

struct nvmlGpuInstance_st {
    char first_unit; /* its position in the table is the unit of the first slice of the GPU instance */
};

struct nvmlComputeInstance_st {
    char unit; /* its position in the table is the unit */
};

static struct nvmlGpuInstance_st gpu_instances[GV_MAX_UNITS];
static struct nvmlComputeInstance_st compute_instances[GV_MAX_UNITS];

/* What stands at a position of either table; the faults of its GPU as for any handle. */
static nvmlReturn_t open_unit(uintptr_t position, const void *output, struct gv_target *target)
{
    struct gv_state *state;
    nvmlDevice_t device;
    TRY(gv_nvml_machine(&state));
    if (position < (uintptr_t)state->device_count || position >= (uintptr_t)state->unit_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    TRY(gv_nvml_handle(state, (int)position, &device));
    return gv_nvml_unit(device, output, target);
}

static nvmlReturn_t open_gpu_instance(nvmlGpuInstance_t instance, const void *output, struct gv_target *target)
{
    return open_unit((uintptr_t)instance - (uintptr_t)gpu_instances, output, target);
}

static nvmlReturn_t open_compute_instance(nvmlComputeInstance_t instance, const void *output, struct gv_target *target)
{
    return open_unit((uintptr_t)instance - (uintptr_t)compute_instances, output, target);
}

static bool first_of_its_instance(const struct gv_state *state, int unit)
{
    const struct gv_unit *own = &state->unit[unit], *before = unit > state->device_count ? own - 1 : NULL;
    return !before || before->device != own->device || before->gpu_instance != own->gpu_instance;
}

/* The first slice of the GPU instance after the one at `unit`, which begins at -1; -1 after the last. */
static int next_instance(const struct gv_state *state, int device, int unit)
{
    for (unit = unit < state->device_count ? state->device_count : unit + 1; unit < state->unit_count; unit++)
        if (state->unit[unit].device == device && first_of_its_instance(state, unit))
            return unit;
    return -1;
}

static struct gv_target at_unit(const struct gv_target *near, int unit)
{
    struct gv_target target = *near;
    target.unit_index = unit;
    target.unit = &near->state->unit[unit];
    return target;
}

nvmlReturn_t nvmlDeviceGetGpuInstances(nvmlDevice_t device, unsigned int profile, nvmlGpuInstance_t *instances,
                                       unsigned int *count)
{
    struct gv_target target;
    const struct profile *wanted;
    TRY(find_profile(device, profile, true, instances && count ? count : NULL, &target, &wanted));
    *count = 0;
    if (!target.device->mig_enabled)
        return NVML_ERROR_NOT_SUPPORTED;
    for (int unit = -1; (unit = next_instance(target.state, target.device_index, unit)) >= 0;) {
        struct gv_target slice = at_unit(&target, unit);
        if (profile_of_unit(&slice) == wanted)
            instances[(*count)++] = &gpu_instances[unit];
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceRemainingCapacity(nvmlDevice_t device, unsigned int profile, unsigned int *count)
{
    struct gv_target target;
    const struct profile *wanted;
    TRY(find_profile(device, profile, true, count, &target, &wanted));
    if (!target.device->mig_enabled)
        return NVML_ERROR_NOT_SUPPORTED;
    unsigned int compute_left = MOST_SLICES, memory_left = MEMORY_SLICES;
    for (int unit = -1; (unit = next_instance(target.state, target.device_index, unit)) >= 0;) {
        struct gv_target slice = at_unit(&target, unit);
        const struct profile *taken = profile_of_unit(&slice);
        compute_left -= taken->gpu_slices < compute_left ? taken->gpu_slices : compute_left;
        memory_left -= taken->memory_slices < memory_left ? taken->memory_slices : memory_left;
    }
    unsigned int by_compute = compute_left / wanted->gpu_slices, by_memory = memory_left / wanted->memory_slices;
    *count = by_compute < by_memory ? by_compute : by_memory;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned int id, nvmlGpuInstance_t *instance)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(has_mig, device, instance, &target));
    for (int unit = -1; (unit = next_instance(target.state, target.device_index, unit)) >= 0;)
        if (target.state->unit[unit].gpu_instance == (int)id) {
            *instance = &gpu_instances[unit];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}

/* Where on its GPU an instance lies is not in an inventory: they lie one after the other. */
nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t instance, nvmlGpuInstanceInfo_t *info)
{
    struct gv_target target;
    TRY(open_gpu_instance(instance, info, &target));
    const struct profile *profile = profile_of_unit(&target);
    *info = (nvmlGpuInstanceInfo_t){.id = (unsigned int)target.unit->gpu_instance, .profileId = profile->id};
    info->placement.size = profile->memory_slices;
    for (int unit = -1; (unit = next_instance(target.state, target.device_index, unit)) >= 0;) {
        struct gv_target other = at_unit(&target, unit);
        if (other.unit->gpu_instance < target.unit->gpu_instance)
            info->placement.start += profile_of_unit(&other)->memory_slices;
    }
    return gv_nvml_handle(target.state, target.device_index, &info->device);
}

/* Profiles of compute instances are numbered by how many compute slices they have. */
static const unsigned int compute_sizes[] = {
    [NVML_COMPUTE_INSTANCE_PROFILE_1_SLICE] = 1, [NVML_COMPUTE_INSTANCE_PROFILE_2_SLICE] = 2,
    [NVML_COMPUTE_INSTANCE_PROFILE_3_SLICE] = 3, [NVML_COMPUTE_INSTANCE_PROFILE_4_SLICE] = 4,
    [NVML_COMPUTE_INSTANCE_PROFILE_7_SLICE] = 7,
};

enum { COMPUTE_SIZES = sizeof compute_sizes / sizeof *compute_sizes };

static unsigned int compute_profile_of(const struct gv_target *target)
{
    unsigned int compute_slices, gpu_slices, profile = 0;
    read_profile(target->unit->profile, &compute_slices, &gpu_slices);
    while (profile + 1 < COMPUTE_SIZES && compute_sizes[profile] < compute_slices)
        profile++;
    return profile;
}

/* A whole GPU instance may be one compute instance, or several smaller ones. */
static nvmlReturn_t open_compute_profile(nvmlGpuInstance_t instance, unsigned int profile, const void *output,
                                         struct gv_target *target, unsigned int *gpu_slices)
{
    TRY(open_gpu_instance(instance, output, target));
    if (profile >= NVML_COMPUTE_INSTANCE_PROFILE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    *gpu_slices = profile_of_unit(target)->gpu_slices;
    return profile < COMPUTE_SIZES && compute_sizes[profile] <= *gpu_slices ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceProfileInfoV(nvmlGpuInstance_t instance, unsigned int profile,
                                                           unsigned int engine,
                                                           nvmlComputeInstanceProfileInfo_v2_t *info)
{
    struct gv_target target;
    unsigned int gpu_slices;
    TRY(open_compute_profile(instance, profile, info, &target, &gpu_slices));
    if (engine >= NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (info->version != nvmlComputeInstanceProfileInfo_v2 && info->version != nvmlComputeInstanceProfileInfo_v3)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    struct engines engines = engines_of(target.device, gpu_slices, gv_nvml_memory_slices(&target));
    unsigned int size = compute_sizes[profile], all = multiprocessors_of(target.device, profile_of_unit(&target));
    nvmlComputeInstanceProfileInfo_v3_t full = {
        .version = info->version,
        .id = profile,
        .sliceCount = size,
        .instanceCount = gpu_slices / size,
        .multiprocessorCount = all * size / gpu_slices,
        .sharedCopyEngineCount = engines.copy,
        .sharedDecoderCount = engines.decoder,
        .sharedJpegCount = engines.jpeg,
        .sharedOfaCount = engines.ofa,
    };
    char whole[sizeof full.name - 16];
    name_profile(target.device, profile_of_unit(&target), whole, sizeof whole);
    if (size == gpu_slices)
        snprintf(full.name, sizeof full.name, "%s", whole);
    else
        snprintf(full.name, sizeof full.name, "MIG %uc.%s", size, whole + strlen("MIG "));
    bool third = info->version == nvmlComputeInstanceProfileInfo_v3;
    memcpy(info, &full, third ? sizeof full : sizeof *info); /* the third version only adds to the second's end */
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceProfileInfo(nvmlGpuInstance_t instance, unsigned int profile,
                                                          unsigned int engine, nvmlComputeInstanceProfileInfo_t *info)
{
    nvmlComputeInstanceProfileInfo_v2_t all = {.version = nvmlComputeInstanceProfileInfo_v2};
    TRY(nvmlGpuInstanceGetComputeInstanceProfileInfoV(instance, profile, engine, info ? &all : NULL));
    *info = (nvmlComputeInstanceProfileInfo_t){
        .id = all.id,
        .sliceCount = all.sliceCount,
        .instanceCount = all.instanceCount,
        .multiprocessorCount = all.multiprocessorCount,
        .sharedCopyEngineCount = all.sharedCopyEngineCount,
        .sharedDecoderCount = all.sharedDecoderCount,
        .sharedJpegCount = all.sharedJpegCount,
        .sharedOfaCount = all.sharedOfaCount,
    };
    return NVML_SUCCESS;
}

/* The last slice of the GPU instance whose first is `target`. */
static int last_unit(const struct gv_target *target)
{
    int unit = target->unit_index;
    while (unit + 1 < target->state->unit_count && !first_of_its_instance(target->state, unit + 1))
        unit++;
    return unit;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstances(nvmlGpuInstance_t instance, unsigned int profile,
                                                nvmlComputeInstance_t *instances, unsigned int *count)
{
    struct gv_target target;
    unsigned int gpu_slices;
    TRY(open_compute_profile(instance, profile, instances && count ? count : NULL, &target, &gpu_slices));
    *count = 0;
    for (int unit = target.unit_index, last = last_unit(&target); unit <= last; unit++) {
        struct gv_target slice = at_unit(&target, unit);
        if (compute_profile_of(&slice) == profile)
            instances[(*count)++] = &compute_instances[unit];
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceRemainingCapacity(nvmlGpuInstance_t instance, unsigned int profile,
                                                                unsigned int *count)
{
    struct gv_target target;
    unsigned int left;
    TRY(open_compute_profile(instance, profile, count, &target, &left));
    for (int unit = target.unit_index, last = last_unit(&target); unit <= last; unit++) {
        struct gv_target slice = at_unit(&target, unit);
        unsigned int taken = compute_sizes[compute_profile_of(&slice)];
        left -= taken < left ? taken : left;
    }
    *count = left / compute_sizes[profile];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceById(nvmlGpuInstance_t instance, unsigned int id,
                                                   nvmlComputeInstance_t *compute_instance)
{
    struct gv_target target;
    TRY(open_gpu_instance(instance, compute_instance, &target));
    for (int unit = target.unit_index, last = last_unit(&target); unit <= last; unit++)
        if (target.state->unit[unit].compute_instance == (int)id) {
            *compute_instance = &compute_instances[unit];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlComputeInstanceGetInfo_v2(nvmlComputeInstance_t instance, nvmlComputeInstanceInfo_t *info)
{
    struct gv_target target;
    TRY(open_compute_instance(instance, info, &target));
    int first = target.unit_index;
    unsigned int start = 0;
    for (; !first_of_its_instance(target.state, first); first--) {
        struct gv_target before = at_unit(&target, first - 1);
        start += compute_sizes[compute_profile_of(&before)];
    }
    unsigned int profile = compute_profile_of(&target);
    *info = (nvmlComputeInstanceInfo_t){
        .gpuInstance = &gpu_instances[first],
        .id = (unsigned int)target.unit->compute_instance,
        .profileId = profile,
        .placement = {.start = start, .size = compute_sizes[profile]},
    };
    return gv_nvml_handle(target.state, target.device_index, &info->device);
}
SAME_AS(nvmlComputeInstanceGetInfo, nvmlComputeInstanceGetInfo_v2);
