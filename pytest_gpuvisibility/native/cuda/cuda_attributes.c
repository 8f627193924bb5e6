/* The attributes of a device. */
#include <string.h>

#include "cuda_internal.h"

/* What differs between generations, by compute capability; the last entry that is not newer applies. */
struct generation {
    int compute_capability; /* 10 * major + minor */
    int shared_per_multiprocessor, shared_per_block_optin, threads_per_multiprocessor, blocks_per_multiprocessor;
    int l2_cache, clock_khz, memory_clock_khz, bus_width;
};

static const struct generation generation[] = {
    {0, 98304, 49152, 2048, 32, 3 << 20, 1480000, 5005000, 256},
    {70, 98304, 98304, 2048, 32, 6 << 20, 1530000, 877000, 4096},
    {75, 65536, 65536, 1024, 16, 4 << 20, 1590000, 5001000, 256},
    {80, 167936, 166912, 2048, 32, 40 << 20, 1410000, 1593000, 5120},
    {86, 102400, 101376, 1536, 16, 6 << 20, 1695000, 9751000, 384},
    {89, 102400, 101376, 1536, 24, 72 << 20, 2520000, 10501000, 384},
    {90, 233472, 232448, 2048, 32, 50 << 20, 1980000, 2619000, 5120},
    {100, 233472, 232448, 2048, 32, 126 << 20, 1965000, 3996000, 8192},
    {120, 102400, 101376, 1536, 24, 96 << 20, 2407000, 14001000, 512},
};

static const struct generation *generation_of(const struct gv_device *device)
{
    int capability = 10 * device->cc_major + device->cc_minor;
    const struct generation *found = generation;
    for (size_t i = 0; i < sizeof generation / sizeof *generation; i++)
        if (generation[i].compute_capability <= capability)
            found = &generation[i];
    return found;
}

static bool has_ecc(const struct gv_device *device)
{
    return !strstr(device->name, "GeForce") && !strstr(device->name, "RTX") && !strstr(device->name, "GTX");
}

/* The same for every GPU of today. */
struct constant {
    CUdevice_attribute attribute;
    int value;
};

static const struct constant constant[] = {
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 49152},
    {CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, 1024},
    {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, 65536},
    {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
    {CU_DEVICE_ATTRIBUTE_MAX_PITCH, 2147483647},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 65536},
    {CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, 512},
    {CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT, 32},
    {CU_DEVICE_ATTRIBUTE_SURFACE_ALIGNMENT, 512},
    {CU_DEVICE_ATTRIBUTE_GPU_OVERLAP, 1},
    {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 3},
    {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
    {CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_GLOBAL_L1_CACHE_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_LOCAL_L1_CACHE_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 1},
    {CU_DEVICE_ATTRIBUTE_SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO, 2},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1},
    {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_WIDTH, 131072},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_WIDTH, 131072},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_HEIGHT, 65536},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_WIDTH, 16384},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_HEIGHT, 16384},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_DEPTH, 16384},
    {CU_DEVICE_ATTRIBUTE_MULTI_GPU_BOARD_GROUP_ID, 0},
    {CU_DEVICE_ATTRIBUTE_MEM_SYNC_DOMAIN_COUNT, 1},
    {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, CU_MEM_HANDLE_TYPE_NONE},
    {CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS, 1},
    {CU_DEVICE_ATTRIBUTE_NUMA_ID, -1},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, -1},
};

static int constant_attribute(CUdevice_attribute attribute)
{
    for (size_t i = 0; i < sizeof constant / sizeof *constant; i++)
        if (constant[i].attribute == attribute)
            return constant[i].value;
    return 0; /* what the simulation does not have */
}

static int device_attribute(CUdevice device, CUdevice_attribute attribute)
{
    const struct gv_device *gpu = gv_device_of(device);
    const struct generation *its = generation_of(gpu);
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        return gv_unit_of(device)->multiprocessors;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        return gpu->cc_major;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        return gpu->cc_minor;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE:
        return atomic_load(&gpu->compute_mode);
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
        return (int)gv_pci_of(device).domain;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
        return (int)gv_pci_of(device).bus;
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
        return (int)gv_pci_of(device).device;
    case CU_DEVICE_ATTRIBUTE_ECC_ENABLED:
        return has_ecc(gpu);
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
        return its->clock_khz;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
        return its->memory_clock_khz;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
        return its->bus_width;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
        return its->l2_cache;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
        return its->threads_per_multiprocessor;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR:
        return its->blocks_per_multiprocessor;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
        return its->shared_per_multiprocessor;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
        return its->shared_per_block_optin;
    case CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH:
        return gpu->cc_major >= 9;
    default:
        return constant_attribute(attribute);
    }
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(value && (int)attribute > 0 && attribute < CU_DEVICE_ATTRIBUTE_MAX);
    REQUIRE_DEVICE(device);
    *value = device_attribute(device, attribute);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetProperties(CUdevprop *properties, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(properties);
    REQUIRE_DEVICE(device);
    *properties = (CUdevprop){
        .maxThreadsPerBlock = 1024,
        .maxThreadsDim = {1024, 1024, 64},
        .maxGridSize = {2147483647, 65535, 65535},
        .sharedMemPerBlock = 49152,
        .totalConstantMemory = 65536,
        .SIMDWidth = 32,
        .memPitch = 2147483647,
        .regsPerBlock = 65536,
        .clockRate = device_attribute(device, CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
        .textureAlign = 512,
    };
    return CUDA_SUCCESS;
}
