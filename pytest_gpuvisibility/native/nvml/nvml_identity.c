/* libnvidia-ml.so.1: what identifies a GPU. */
#include "nvml_internal.h"

#include <stdio.h>
#include <string.h>

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minor)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, minor, &target));
    *minor = (unsigned int)target.device->minor;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, serial, &target));
    if (gv_model_is_consumer(target.device))
        return NVML_ERROR_NOT_SUPPORTED;
    char text[NVML_DEVICE_SERIAL_BUFFER_SIZE];
    gv_model_serial(target.device, text);
    return gv_nvml_text(serial, length, text);
}

static unsigned int pci_device_id(const struct gv_device *device)
{
    return gv_model_of(device)->pci_device << 16 | 0x10DE;
}

/* The first version's structure ends before pciSubSystemId, the second's before busId: nothing beyond is written. */
nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    struct gv_target target;
    struct gv_pci_address address;
    TRY(gv_nvml_gpu(device, pci, &target));
    if (!gv_nvml_read_pci(target.device->pci_bus_id, &address))
        return NVML_ERROR_UNKNOWN;
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:%02X.%X", address.domain & 0xFFFF,
             address.bus & 0xFF, address.device & 0xFF, address.function & 0xF);
    pci->domain = address.domain;
    pci->bus = address.bus;
    pci->device = address.device;
    pci->pciDeviceId = pci_device_id(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    struct gv_target target;
    TRY(nvmlDeviceGetPciInfo(device, pci));
    TRY(gv_nvml_gpu(device, pci, &target));
    pci->pciSubSystemId = gv_model_of(target.device)->pci_subsystem;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    struct gv_target target;
    TRY(nvmlDeviceGetPciInfo_v2(device, pci));
    TRY(gv_nvml_gpu(device, pci, &target));
    return gv_nvml_text(pci->busId, sizeof pci->busId, target.device->pci_bus_id);
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_t *pci)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, pci, &target));
    if (pci->version != nvmlPciInfoExt_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlPciInfo_t plain;
    TRY(nvmlDeviceGetPciInfo_v3(device, &plain));
    pci->domain = plain.domain;
    pci->bus = plain.bus;
    pci->device = plain.device;
    pci->pciDeviceId = plain.pciDeviceId;
    pci->pciSubSystemId = plain.pciSubSystemId;
    pci->baseClass = 0x3;
    pci->subClass = gv_model_is_consumer(target.device) ? 0x0 : 0x2;
    memcpy(pci->busId, plain.busId, sizeof pci->busId);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t *brand)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, brand, &target));
    *brand = gv_model_brand(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t *architecture)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, architecture, &target));
    *architecture = gv_model_architecture(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, major && minor ? major : NULL, &target));
    *major = target.device->cc_major;
    *minor = target.device->cc_minor;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned int *count)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, count, &target));
    if (target.device->mig_enabled)
        return NVML_ERROR_NOT_SUPPORTED;
    *count = (unsigned int)target.device->multiprocessors * gv_model_cores_per_multiprocessor(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMultiGpuBoard(nvmlDevice_t device, unsigned int *several)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, several, &target));
    *several = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBoardId(nvmlDevice_t device, unsigned int *board)
{
    struct gv_target target;
    struct gv_pci_address address;
    TRY(gv_nvml_gpu(device, board, &target));
    if (!gv_nvml_read_pci(target.device->pci_bus_id, &address))
        return NVML_ERROR_UNKNOWN;
    *board = address.domain << 16 | address.bus << 8 | address.device;
    return NVML_SUCCESS;
}

/* Only boards of NVIDIA's own data-centre series carry it. */
nvmlReturn_t nvmlDeviceGetBoardPartNumber(nvmlDevice_t device, char *number, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, number, &target));
    if (gv_model_is_consumer(target.device))
        return NVML_ERROR_NOT_SUPPORTED;
    const char *known = gv_model_of(target.device)->board_part;
    return gv_nvml_text(number, length, known ? known : "900-2G500-0000-000");
}

nvmlReturn_t nvmlDeviceGetPdi(nvmlDevice_t device, nvmlPdi_t *pdi)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, pdi, &target));
    if (pdi->version != nvmlPdi_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    pdi->value = gv_model_hash(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetModuleId(nvmlDevice_t device, unsigned int *module)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, module, &target));
    *module = (unsigned int)target.device_index + 1;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBridgeChipInfo(nvmlDevice_t device, nvmlBridgeChipHierarchy_t *bridges)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, bridges, &target));
    return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *version, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, version, &target));
    return gv_nvml_text(version, length, gv_model_vbios(target.device));
}

nvmlReturn_t nvmlDeviceGetInforomImageVersion(nvmlDevice_t device, char *version, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, version, &target));
    return gv_nvml_text(version, length, gv_model_inforom(target.device));
}

nvmlReturn_t nvmlDeviceGetInforomVersion(nvmlDevice_t device, nvmlInforomObject_t object, char *version,
                                         unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, version, &target));
    nvmlDeviceArchitecture_t architecture = gv_model_architecture(target.device);
    if (object == NVML_INFOROM_OEM) {
        const char *oem = architecture >= NVML_DEVICE_ARCH_ADA ? "2.1" : "2.0";
        return gv_nvml_text(version, length, architecture < NVML_DEVICE_ARCH_AMPERE ? "1.1" : oem);
    }
    if (object == NVML_INFOROM_ECC && !gv_model_is_consumer(target.device)) {
        const char *ecc = architecture >= NVML_DEVICE_ARCH_HOPPER ? "7.16" : "6.16";
        return gv_nvml_text(version, length, architecture < NVML_DEVICE_ARCH_AMPERE ? "5.0" : ecc);
    }
    return object < NVML_INFOROM_COUNT ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceValidateInforom(nvmlDevice_t device)
{
    struct gv_target target;
    return gv_nvml_gpu(device, &device, &target); /* there is no output */
}

nvmlReturn_t nvmlDeviceGetGspFirmwareVersion(nvmlDevice_t device, char *version)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, version, &target));
    strcpy(version, target.state->driver_version); /* the buffer holds NVML_GSP_FIRMWARE_VERSION_BUF_SIZE */
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGspFirmwareMode(nvmlDevice_t device, unsigned int *enabled, unsigned int *by_default)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, enabled && by_default ? enabled : NULL, &target));
    *enabled = *by_default = gv_model_architecture(target.device) >= NVML_DEVICE_ARCH_TURING;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPlatformInfo(nvmlDevice_t device, nvmlPlatformInfo_t *platform)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, platform, &target));
    if (platform->version != nvmlPlatformInfo_v2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *platform = (nvmlPlatformInfo_t){.version = nvmlPlatformInfo_v2, .hostId = 1,
                                     .moduleId = (unsigned char)(target.device_index + 1)};
    return NVML_SUCCESS;
}
