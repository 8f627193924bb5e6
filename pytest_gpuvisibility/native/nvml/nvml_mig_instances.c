/* libnvidia-ml.so.1: GPU instances and compute instances, which say how a GPU is cut. */
#include "nvml_mig.h"

#include <stdio.h>
#include <string.h>

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
    return open_unit(gv_nvml_position(GV_NVML_GPU_INSTANCES, instance), output, target);
}

static nvmlReturn_t open_compute_instance(nvmlComputeInstance_t instance, const void *output, struct gv_target *target)
{
    return open_unit(gv_nvml_position(GV_NVML_COMPUTE_INSTANCES, instance), output, target);
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
    const struct gv_mig_profile *wanted;
    TRY(gv_mig_find_profile(device, profile, true, instances && count ? count : NULL, &target, &wanted));
    *count = 0;
    if (!target.device->mig_enabled)
        return NVML_ERROR_NOT_SUPPORTED;
    for (int unit = -1; (unit = next_instance(target.state, target.device_index, unit)) >= 0;) {
        struct gv_target slice = at_unit(&target, unit);
        if (gv_mig_profile_of(&slice) == wanted)
            instances[(*count)++] = gv_nvml_at(GV_NVML_GPU_INSTANCES, unit);
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceRemainingCapacity(nvmlDevice_t device, unsigned int profile, unsigned int *count)
{
    struct gv_target target;
    const struct gv_mig_profile *wanted;
    TRY(gv_mig_find_profile(device, profile, true, count, &target, &wanted));
    if (!target.device->mig_enabled)
        return NVML_ERROR_NOT_SUPPORTED;
    unsigned int compute_left = GV_MOST_SLICES, memory_left = GV_MEMORY_SLICES;
    for (int unit = -1; (unit = next_instance(target.state, target.device_index, unit)) >= 0;) {
        struct gv_target slice = at_unit(&target, unit);
        const struct gv_mig_profile *taken = gv_mig_profile_of(&slice);
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
    TRY(gv_nvml_open_where(gv_mig_is_offered, device, instance, &target));
    for (int unit = -1; (unit = next_instance(target.state, target.device_index, unit)) >= 0;)
        if (target.state->unit[unit].gpu_instance == (int)id) {
            *instance = gv_nvml_at(GV_NVML_GPU_INSTANCES, unit);
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}

/* Where on its GPU an instance lies is not in an inventory: they lie one after the other. */
nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t instance, nvmlGpuInstanceInfo_t *info)
{
    struct gv_target target;
    TRY(open_gpu_instance(instance, info, &target));
    const struct gv_mig_profile *profile = gv_mig_profile_of(&target);
    *info = (nvmlGpuInstanceInfo_t){.id = (unsigned int)target.unit->gpu_instance, .profileId = profile->id};
    info->placement.size = profile->memory_slices;
    for (int unit = -1; (unit = next_instance(target.state, target.device_index, unit)) >= 0;) {
        struct gv_target other = at_unit(&target, unit);
        if (other.unit->gpu_instance < target.unit->gpu_instance)
            info->placement.start += gv_mig_profile_of(&other)->memory_slices;
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
    gv_mig_read_profile(target->unit->profile, &compute_slices, &gpu_slices);
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
    *gpu_slices = gv_mig_profile_of(target)->gpu_slices;
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
    struct gv_mig_engines engines = gv_mig_engines_of(target.device, gpu_slices, gv_nvml_memory_slices(&target));
    unsigned int size = compute_sizes[profile];
    unsigned int all = gv_mig_multiprocessors_of(target.device, gv_mig_profile_of(&target));
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
    gv_mig_name_profile(target.device, gv_mig_profile_of(&target), whole, sizeof whole);
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
            instances[(*count)++] = gv_nvml_at(GV_NVML_COMPUTE_INSTANCES, unit);
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
            *compute_instance = gv_nvml_at(GV_NVML_COMPUTE_INSTANCES, unit);
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
        .gpuInstance = gv_nvml_at(GV_NVML_GPU_INSTANCES, first),
        .id = (unsigned int)target.unit->compute_instance,
        .profileId = profile,
        .placement = {.start = start, .size = compute_sizes[profile]},
    };
    return gv_nvml_handle(target.state, target.device_index, &info->device);
}
SAME_AS(nvmlComputeInstanceGetInfo, nvmlComputeInstanceGetInfo_v2);
