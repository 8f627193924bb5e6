/* Devices and what is known of them. */
#include <stdio.h>
#include <string.h>

#include "cuda_internal.h"

bool gv_is_device(CUdevice device)
{
    return device >= 0 && device < gv_driver.count;
}

const struct gv_unit *gv_unit_of(CUdevice device)
{
    return &gv_driver.state->unit[gv_driver.unit[device]];
}

const struct gv_device *gv_device_of(CUdevice device)
{
    return &gv_driver.state->device[gv_unit_of(device)->device];
}

static bool is_slice(CUdevice device)
{
    return gv_driver.unit[device] >= gv_driver.state->device_count;
}

CUresult cuDeviceGetCount(int *count)
{
    REQUIRE_READY();
    REQUIRE_VALUE(count);
    *count = gv_driver.count;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    REQUIRE_READY();
    REQUIRE_VALUE(device);
    REQUIRE_DEVICE(ordinal);
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int size, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(name && size > 0);
    REQUIRE_DEVICE(device);
    const struct gv_unit *unit = gv_unit_of(device);
    if (is_slice(device) && !strstr(unit->name, " MIG "))
        snprintf(name, (size_t)size, "%s MIG %s", unit->name, unit->profile);
    else
        snprintf(name, (size_t)size, "%s", unit->name);
    return CUDA_SUCCESS;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* The 16 bytes of "GPU-<uuid>", "MIG-<uuid>" or, with the numbers of its instances worked in, of the older
 * "MIG-GPU-<uuid>/<gi>/<ci>". */
static void read_uuid(const struct gv_unit *unit, CUuuid *uuid)
{
    const char *text = unit->uuid;
    memset(uuid, 0, sizeof *uuid);
    while (strncmp(text, "GPU-", 4) == 0 || strncmp(text, "MIG-", 4) == 0)
        text += 4;
    int nibbles = 0;
    for (; *text && *text != '/' && nibbles < 32; text++) {
        int value = hex_value(*text);
        if (value < 0)
            continue;
        uuid->bytes[nibbles / 2] = (char)(uuid->bytes[nibbles / 2] | value << (nibbles % 2 ? 0 : 4));
        nibbles++;
    }
    if (*text == '/') {
        uuid->bytes[14] = (char)(uuid->bytes[14] ^ (unit->gpu_instance + 1));
        uuid->bytes[15] = (char)(uuid->bytes[15] ^ (unit->compute_instance + 1));
    }
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(uuid);
    REQUIRE_DEVICE(device);
    read_uuid(gv_unit_of(device), uuid);
    return CUDA_SUCCESS;
}

/* The older one gives a slice the UUID of its GPU. */
CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(uuid);
    REQUIRE_DEVICE(device);
    read_uuid(&gv_driver.state->unit[gv_unit_of(device)->device], uuid);
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(bytes);
    REQUIRE_DEVICE(device);
    *bytes = gv_unit_of(device)->memory;
    return CUDA_SUCCESS;
}

/* The ABI of CUDA 2 counts in 32 bits. */
CUresult cuDeviceTotalMem(unsigned int *bytes, CUdevice device)
{
    size_t total;
    REQUIRE_VALUE(bytes);
    CUresult result = cuDeviceTotalMem_v2(&total, device);
    if (result == CUDA_SUCCESS)
        *bytes = total > UINT32_MAX ? UINT32_MAX : (unsigned)total;
    return result;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(major && minor);
    REQUIRE_DEVICE(device);
    *major = gv_device_of(device)->cc_major;
    *minor = gv_device_of(device)->cc_minor;
    return CUDA_SUCCESS;
}

/* ---- PCI ---- */

struct pci {
    unsigned domain, bus, device;
};

static struct pci pci_of(CUdevice device)
{
    struct pci pci = {0, 0, 0};
    sscanf(gv_device_of(device)->pci_bus_id, "%x:%x:%x", &pci.domain, &pci.bus, &pci.device);
    return pci;
}

CUresult cuDeviceGetPCIBusId(char *text, int size, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(text && size > 0);
    REQUIRE_DEVICE(device);
    struct pci pci = pci_of(device);
    char id[32];
    int length = snprintf(id, sizeof id, "%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
    REQUIRE_VALUE(length < size);
    memcpy(text, id, (size_t)length + 1);
    return CUDA_SUCCESS;
}

/* "domain:bus:device.function", "domain:bus:device" or "bus:device.function". */
static bool read_pci(const char *text, struct pci *pci)
{
    int end = 0;
    pci->domain = 0;
    if (sscanf(text, "%8x:%2x:%2x.%*1x%n", &pci->domain, &pci->bus, &pci->device, &end) == 3 && end && !text[end])
        return true;
    if (sscanf(text, "%8x:%2x:%2x%n", &pci->domain, &pci->bus, &pci->device, &end) == 3 && end && !text[end])
        return true;
    pci->domain = 0;
    end = 0;
    return sscanf(text, "%2x:%2x.%*1x%n", &pci->bus, &pci->device, &end) == 2 && end && !text[end];
}

CUresult cuDeviceGetByPCIBusId(CUdevice *device, const char *text)
{
    struct pci wanted;
    REQUIRE_READY();
    REQUIRE_VALUE(device && text && read_pci(text, &wanted));
    for (CUdevice candidate = 0; candidate < gv_driver.count; candidate++) {
        struct pci pci = pci_of(candidate);
        if (pci.domain == wanted.domain && pci.bus == wanted.bus && pci.device == wanted.device) {
            *device = candidate;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
}

/* ---- attributes ---- */

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
        return (int)pci_of(device).domain;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
        return (int)pci_of(device).bus;
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
        return (int)pci_of(device).device;
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

/* ---- peers ---- */

/* Every whole GPU reaches every other one; a slice reaches nothing. */
bool gv_can_access(int unit, int peer)
{
    return unit != peer && unit < gv_driver.state->device_count && peer < gv_driver.state->device_count;
}

static bool can_access(CUdevice device, CUdevice peer)
{
    return gv_can_access(gv_driver.unit[device], gv_driver.unit[peer]);
}

CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer)
{
    REQUIRE_READY();
    REQUIRE_VALUE(can);
    REQUIRE_DEVICE(device);
    REQUIRE_DEVICE(peer);
    *can = can_access(device, peer);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetP2PAttribute(int *value, CUdevice_P2PAttribute attribute, CUdevice device, CUdevice peer)
{
    REQUIRE_READY();
    REQUIRE_VALUE(value);
    REQUIRE_DEVICE(device);
    REQUIRE_DEVICE(peer);
    REQUIRE(device != peer, CUDA_ERROR_INVALID_DEVICE);
    switch (attribute) {
    case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
        *value = can_access(device, peer);
        return CUDA_SUCCESS;
    case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK:
    case CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED:
    case CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED:
        *value = 0;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}
