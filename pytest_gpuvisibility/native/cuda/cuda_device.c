/* Devices: which there are, what identifies them, and which reach each other. */
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

struct gv_pci gv_pci_of(CUdevice device)
{
    struct gv_pci pci = {0, 0, 0};
    sscanf(gv_device_of(device)->pci_bus_id, "%x:%x:%x", &pci.domain, &pci.bus, &pci.device);
    return pci;
}

CUresult cuDeviceGetPCIBusId(char *text, int size, CUdevice device)
{
    REQUIRE_READY();
    REQUIRE_VALUE(text && size > 0);
    REQUIRE_DEVICE(device);
    struct gv_pci pci = gv_pci_of(device);
    char id[32];
    int length = snprintf(id, sizeof id, "%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
    REQUIRE_VALUE(length < size);
    memcpy(text, id, (size_t)length + 1);
    return CUDA_SUCCESS;
}

/* "domain:bus:device.function", "domain:bus:device" or "bus:device.function". */
static bool read_pci(const char *text, struct gv_pci *pci)
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
    struct gv_pci wanted;
    REQUIRE_READY();
    REQUIRE_VALUE(device && text && read_pci(text, &wanted));
    for (CUdevice candidate = 0; candidate < gv_driver.count; candidate++) {
        struct gv_pci pci = gv_pci_of(candidate);
        if (pci.domain == wanted.domain && pci.bus == wanted.bus && pci.device == wanted.device) {
            *device = candidate;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
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

/* ---- sets of devices ---- */

void gv_devices_set(struct gv_devices *devices, int ordinal, bool member)
{
    uint64_t bit = UINT64_C(1) << ordinal % 64;
    if (member)
        devices->word[ordinal / 64] |= bit;
    else
        devices->word[ordinal / 64] &= ~bit;
}

bool gv_devices_has(const struct gv_devices *devices, int ordinal)
{
    return devices->word[ordinal / 64] >> ordinal % 64 & 1;
}

bool gv_devices_any(const struct gv_devices *devices)
{
    uint64_t any = 0;
    for (size_t i = 0; i < sizeof devices->word / sizeof *devices->word; i++)
        any |= devices->word[i];
    return any != 0;
}
