/* libnvidia-ml.so.1: errors of the memory. ECC is on where the product has it, and nothing ever fails. */
#include "nvml_internal.h"

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *current, nvmlEnableState_t *pending)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(gv_nvml_has_ecc, device, current && pending ? current : NULL, &target));
    *current = *pending = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDefaultEccMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(gv_nvml_has_ecc, device, mode, &target));
    *mode = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type, nvmlEccCounterType_t counter,
                                         unsigned long long *count)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(gv_nvml_has_ecc, device, count, &target));
    if (type >= NVML_MEMORY_ERROR_TYPE_COUNT || counter >= NVML_ECC_COUNTER_TYPE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                             nvmlEccCounterType_t counter, nvmlMemoryLocation_t location,
                                             unsigned long long *count)
{
    TRY(nvmlDeviceGetTotalEccErrors(device, type, counter, count));
    if (location == NVML_MEMORY_LOCATION_DRAM || location == NVML_MEMORY_LOCATION_SRAM)
        return NVML_SUCCESS;
    return location < NVML_MEMORY_LOCATION_COUNT ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetSramEccErrorStatus(nvmlDevice_t device, nvmlEccSramErrorStatus_t *status)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(gv_nvml_has_ecc, device, status, &target));
    if (status->version != nvmlEccSramErrorStatus_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *status = (nvmlEccSramErrorStatus_t){.version = nvmlEccSramErrorStatus_v1};
    return NVML_SUCCESS;
}

bool gv_nvml_remaps_rows(const struct gv_target *target)
{
    return gv_nvml_has_ecc(target) && target->device->cc_major >= 8;
}

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *correctable, unsigned int *uncorrectable,
                                       unsigned int *pending, unsigned int *failure)
{
    struct gv_target target;
    const void *output = correctable && uncorrectable && pending && failure ? correctable : NULL;
    TRY(gv_nvml_open_where(gv_nvml_remaps_rows, device, output, &target));
    if (target.device->mig_enabled)
        return NVML_ERROR_NOT_SUPPORTED;
    *correctable = *uncorrectable = *pending = *failure = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device, nvmlRowRemapperHistogramValues_t *values)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(gv_nvml_remaps_rows, device, values, &target));
    unsigned int banks = gv_model_of(target.device)->remap_banks;
    if (!banks)
        banks = target.device->cc_major >= 9 ? 2560 : (target.device->cc_minor ? 192 : 640);
    *values = (nvmlRowRemapperHistogramValues_t){.max = banks};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRemappedRows_v2(nvmlDevice_t device, nvmlRemappedRowsInfo_v2_t *info)
{
    unsigned int zero[4];
    TRY(nvmlDeviceGetRemappedRows(device, info ? zero : NULL, zero + 1, zero + 2, zero + 3));
    *info = (nvmlRemappedRowsInfo_v2_t){0};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDetailedEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                            nvmlEccCounterType_t counter, nvmlEccErrorCounts_t *counts)
{
    unsigned long long total;
    TRY(nvmlDeviceGetTotalEccErrors(device, type, counter, counts ? &total : NULL));
    *counts = (nvmlEccErrorCounts_t){0};
    return NVML_SUCCESS;
}

static bool retires_pages(const struct gv_target *target)
{
    return gv_model_retires_pages(target->device);
}

/* A simulated GPU's memory never fails, so no page was ever retired. */
nvmlReturn_t nvmlDeviceGetRetiredPages(nvmlDevice_t device, nvmlPageRetirementCause_t cause, unsigned int *count,
                                       unsigned long long *addresses)
{
    (void)addresses;
    struct gv_target target;
    TRY(gv_nvml_open_where(retires_pages, device, count, &target));
    if (cause >= NVML_PAGE_RETIREMENT_CAUSE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRetiredPages_v2(nvmlDevice_t device, nvmlPageRetirementCause_t cause, unsigned int *count,
                                          unsigned long long *addresses, unsigned long long *timestamps)
{
    (void)timestamps;
    return nvmlDeviceGetRetiredPages(device, cause, count, addresses);
}

nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t device, nvmlEnableState_t *pending)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(retires_pages, device, pending, &target));
    *pending = NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRepairStatus(nvmlDevice_t device, nvmlRepairStatus_t *status)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, status, &target));
    if (status->version != nvmlRepairStatus_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *status = (nvmlRepairStatus_t){.version = nvmlRepairStatus_v1};
    return NVML_SUCCESS;
}

static bool knows_its_memory(const struct gv_target *target)
{
    return gv_nvml_has_ecc(target) && gv_model_architecture(target->device) >= NVML_DEVICE_ARCH_HOPPER;
}

nvmlReturn_t nvmlDeviceGetUnrepairableMemoryFlag_v1(nvmlDevice_t device, nvmlUnrepairableMemoryStatus_v1_t *status)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(knows_its_memory, device, status, &target));
    *status = (nvmlUnrepairableMemoryStatus_v1_t){0};
    return NVML_SUCCESS;
}
