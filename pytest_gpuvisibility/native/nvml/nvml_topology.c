/* libnvidia-ml.so.1: where a GPU is, and what is near it. */
#include "nvml_internal.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static nvmlReturn_t fill_set(unsigned long *set, unsigned int size, long bits)
{
    const long word = sizeof *set * CHAR_BIT;
    if (!size)
        return NVML_ERROR_INVALID_ARGUMENT;
    memset(set, 0, size * sizeof *set);
    for (long bit = 0; bit < bits && bit < (long)size * word; bit++)
        set[bit / word] |= 1UL << bit % word;
    return NVML_SUCCESS;
}

/* Every GPU is near all processors: a simulated machine is one NUMA node. */
nvmlReturn_t nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned int size, unsigned long *set,
                                                 nvmlAffinityScope_t scope)
{
    struct gv_target target;
    TRY(gv_nvml_gpu_asked(device, set, &target, "affinity"));
    if (scope != NVML_AFFINITY_SCOPE_NODE && scope != NVML_AFFINITY_SCOPE_SOCKET)
        return NVML_ERROR_INVALID_ARGUMENT;
    return fill_set(set, size, sysconf(_SC_NPROCESSORS_CONF));
}

nvmlReturn_t nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned int size, unsigned long *set)
{
    return nvmlDeviceGetCpuAffinityWithinScope(device, size, set, NVML_AFFINITY_SCOPE_NODE);
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned int size, unsigned long *set,
                                         nvmlAffinityScope_t scope)
{
    struct gv_target target;
    TRY(gv_nvml_gpu_asked(device, set, &target, "affinity"));
    if (scope != NVML_AFFINITY_SCOPE_NODE && scope != NVML_AFFINITY_SCOPE_SOCKET)
        return NVML_ERROR_INVALID_ARGUMENT;
    return fill_set(set, size, 1);
}

static nvmlReturn_t open_pair(nvmlDevice_t first, nvmlDevice_t second, const void *output, struct gv_target *one,
                              struct gv_target *other)
{
    TRY(gv_nvml_gpu_asked(first, output, one, "topology"));
    return gv_nvml_gpu_asked(second, output, other, "topology");
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t first, nvmlDevice_t second, nvmlGpuTopologyLevel_t *level)
{
    struct gv_target one, other;
    TRY(open_pair(first, second, level, &one, &other));
    *level = one.unit_index == other.unit_index ? NVML_TOPOLOGY_INTERNAL : NVML_TOPOLOGY_NODE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t first, nvmlDevice_t second, nvmlGpuP2PCapsIndex_t capability,
                                    nvmlGpuP2PStatus_t *status)
{
    struct gv_target one, other;
    TRY(open_pair(first, second, status, &one, &other));
    if (capability >= NVML_P2P_CAPS_INDEX_UNKNOWN)
        return NVML_ERROR_INVALID_ARGUMENT;
    bool copies = capability == NVML_P2P_CAPS_INDEX_READ || capability == NVML_P2P_CAPS_INDEX_WRITE;
    bool sliced = one.device->mig_enabled || other.device->mig_enabled;
    *status = copies && !sliced ? NVML_P2P_STATUS_OK : NVML_P2P_STATUS_NOT_SUPPORTED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceOnSameBoard(nvmlDevice_t first, nvmlDevice_t second, int *same)
{
    struct gv_target one, other;
    TRY(open_pair(first, second, same, &one, &other));
    *same = one.unit_index == other.unit_index;
    return NVML_SUCCESS;
}

/* Stores every GPU but one, or none; only counts them where the caller gives no array. */
static nvmlReturn_t list_gpus(struct gv_state *state, int except, bool none, unsigned int *count, nvmlDevice_t *gpus)
{
    unsigned int found = 0, capacity = *count;
    for (int gpu = 0; gpu < state->device_count && !none; gpu++) {
        if (gpu == except)
            continue;
        if (gpus && found < capacity)
            gpus[found] = gv_nvml_handle_at(gpu);
        found++;
    }
    *count = found;
    return gpus && capacity && found > capacity ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTopologyNearestGpus(nvmlDevice_t device, nvmlGpuTopologyLevel_t level, unsigned int *count,
                                              nvmlDevice_t *gpus)
{
    struct gv_target target;
    TRY(gv_nvml_gpu_asked(device, count, &target, "topology"));
    if (level > NVML_TOPOLOGY_SYSTEM || level % 10)
        return NVML_ERROR_INVALID_ARGUMENT;
    return list_gpus(target.state, target.device_index, level != NVML_TOPOLOGY_NODE, count, gpus);
}

nvmlReturn_t nvmlSystemGetTopologyGpuSet(unsigned int processor, unsigned int *count, nvmlDevice_t *gpus)
{
    struct gv_state *state;
    TRY(gv_nvml_open(count, &state));
    if ((long)processor >= sysconf(_SC_NPROCESSORS_CONF))
        return NVML_ERROR_INVALID_ARGUMENT;
    return list_gpus(state, -1, false, count, gpus);
}

nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int *node)
{
    struct gv_target target;
    TRY(gv_nvml_gpu_asked(device, node, &target, "affinity"));
    return NVML_ERROR_NOT_SUPPORTED; /* its memory is no NUMA node */
}

/* A GPU on an NVSwitch board is a member of the fabric of its own machine. */
nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *info)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, info, &target));
    if (!gv_model_of(target.device)->fabric)
        return NVML_ERROR_NOT_SUPPORTED;
    if (info->version == nvmlGpuFabricInfo_v3)
        *info = (nvmlGpuFabricInfoV_t){.version = nvmlGpuFabricInfo_v3, .state = NVML_GPU_FABRIC_STATE_COMPLETED};
    else if (info->version == nvmlGpuFabricInfo_v2)
        *(nvmlGpuFabricInfo_v2_t *)info = (nvmlGpuFabricInfo_v2_t){.version = nvmlGpuFabricInfo_v2,
                                                                   .state = NVML_GPU_FABRIC_STATE_COMPLETED};
    else
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfo(nvmlDevice_t device, nvmlGpuFabricInfo_t *info)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, info, &target));
    if (!gv_model_of(target.device)->fabric)
        return NVML_ERROR_NOT_SUPPORTED;
    *info = (nvmlGpuFabricInfo_t){.state = NVML_GPU_FABRIC_STATE_COMPLETED};
    return NVML_SUCCESS;
}
