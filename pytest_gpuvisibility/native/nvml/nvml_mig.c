/* libnvidia-ml.so.1: the slices of a GPU, and into what it can be cut. */
#include "nvml_mig.h"

#include <stdio.h>
#include <string.h>

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
    *count = target.device->mig_enabled ? GV_MOST_SLICES : 0;
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

/* How many of the eight parts of its GPU's memory a slice has: it gets a little less than so many eighths. */
unsigned int gv_nvml_memory_slices(const struct gv_target *target)
{
    uint64_t memory = target->device->memory;
    unsigned int slices = (unsigned int)((target->unit->memory * GV_MEMORY_SLICES + memory / 2) / memory);
    return slices ? slices : 1;
}

void gv_mig_read_profile(const char *profile, unsigned int *compute_slices, unsigned int *gpu_slices)
{
    if (sscanf(profile, "%uc.%ug", compute_slices, gpu_slices) == 2)
        return;
    if (sscanf(profile, "%ug", gpu_slices) != 1)
        *gpu_slices = 1;
    *compute_slices = *gpu_slices;
}

/* From Hopper on each slice brings a video and a JPEG decoder. An A100 has five video decoders, of which a slice gets
 * one with every two eighths of the memory. */
struct gv_mig_engines gv_mig_engines_of(const struct gv_device *device, unsigned int gpu_slices,
                                        unsigned int memory_slices)
{
    bool hopper = device->cc_major >= 9, whole = gpu_slices == GV_MOST_SLICES;
    return (struct gv_mig_engines){
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
    gv_mig_read_profile(target.unit->profile, &compute_slices, &gpu_slices);
    struct gv_mig_engines engines = gv_mig_engines_of(target.device, gpu_slices, gv_nvml_memory_slices(&target));
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

/* NVIDIA's numbers for the profiles that all products with MIG have. */
static const struct gv_mig_profile profiles[] = {
    {NVML_GPU_INSTANCE_PROFILE_1_SLICE, 19, 1, 1, 7},      {NVML_GPU_INSTANCE_PROFILE_2_SLICE, 14, 2, 2, 3},
    {NVML_GPU_INSTANCE_PROFILE_3_SLICE, 9, 3, 4, 2},       {NVML_GPU_INSTANCE_PROFILE_4_SLICE, 5, 4, 4, 1},
    {NVML_GPU_INSTANCE_PROFILE_7_SLICE, 0, 7, 8, 1},       {NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV2, 15, 1, 2, 4},
};

enum { PROFILES = sizeof profiles / sizeof *profiles };

bool gv_mig_is_offered(const struct gv_target *target)
{
    return gv_model_has_mig(target->device);
}

const struct gv_mig_profile *gv_mig_profile_of(const struct gv_target *target)
{
    unsigned int compute_slices, gpu_slices, memory_slices = gv_nvml_memory_slices(target);
    const struct gv_mig_profile *found = profiles;
    gv_mig_read_profile(target->unit->profile, &compute_slices, &gpu_slices);
    for (int i = 0; i < PROFILES; i++)
        if (profiles[i].gpu_slices == gpu_slices &&
            (found->gpu_slices != gpu_slices || profiles[i].memory_slices == memory_slices))
            found = &profiles[i];
    return found;
}

/* Multiprocessors come in groups, so a slice of 3 has more than three of 1 where some are left over. */
unsigned int gv_mig_multiprocessors_of(const struct gv_device *device, const struct gv_mig_profile *profile)
{
    unsigned int all = (unsigned int)device->multiprocessors, one = all / GV_MOST_SLICES & ~1U;
    if (device->cc_major >= 9) {
        one = all / GV_MEMORY_SLICES;
        return profile->gpu_slices == GV_MOST_SLICES ? all : one * profile->gpu_slices;
    }
    return one * profile->gpu_slices;
}

/* Some of each eighth is kept for the driver; what is left is a multiple of 128 MiB. */
static unsigned long long memory_of(const struct gv_device *device, const struct gv_mig_profile *profile)
{
    unsigned long long share = (device->memory >> 20) * profile->memory_slices / GV_MEMORY_SLICES;
    return share * 98 / 100 / 128 * 128;
}

void gv_mig_name_profile(const struct gv_device *device, const struct gv_mig_profile *profile, char *name, size_t size)
{
    unsigned long long gigabytes = ((device->memory >> 30) + 1) * profile->memory_slices / GV_MEMORY_SLICES;
    snprintf(name, size, "MIG %ug.%llugb", profile->gpu_slices, gigabytes);
}

static nvmlGpuInstanceProfileInfo_v3_t describe(const struct gv_device *device, const struct gv_mig_profile *profile)
{
    struct gv_mig_engines engines = gv_mig_engines_of(device, profile->gpu_slices, profile->memory_slices);
    nvmlGpuInstanceProfileInfo_v3_t info = {
        .version = nvmlGpuInstanceProfileInfo_v3,
        .id = profile->id,
        .sliceCount = profile->gpu_slices,
        .instanceCount = profile->instances,
        .multiprocessorCount = gv_mig_multiprocessors_of(device, profile),
        .copyEngineCount = engines.copy,
        .decoderCount = engines.decoder,
        .jpegCount = engines.jpeg,
        .ofaCount = engines.ofa,
        .memorySizeMB = memory_of(device, profile),
    };
    gv_mig_name_profile(device, profile, info.name, sizeof info.name);
    return info;
}

nvmlReturn_t gv_mig_find_profile(nvmlDevice_t device, unsigned int number, bool by_id, const void *output,
                                 struct gv_target *target, const struct gv_mig_profile **found)
{
    TRY(gv_nvml_open_where(gv_mig_is_offered, device, output, target));
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
    const struct gv_mig_profile *found;
    TRY(gv_mig_find_profile(device, profile, false, info, &target, &found));
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
    const struct gv_mig_profile *found;
    TRY(gv_mig_find_profile(device, number, by_id, info, &target, &found));
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
    const struct gv_mig_profile *found;
    TRY(gv_mig_find_profile(device, profile, true, count, &target, &found));
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
