/* libnvidia-ml.so.1: nvmlDeviceGetFieldValues, which answers many small questions at once. */
#include "nvml_internal.h"

enum { MEMORY_TEMPERATURE = 38 /* degrees C */, MEMORY_POWER = 44000 /* mW, of stacked memory */ };

static void set_unsigned(nvmlFieldValue_t *field, unsigned int value)
{
    field->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
    field->value.uiVal = value;
}

static void set_counter(nvmlFieldValue_t *field, unsigned long long value)
{
    field->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
    field->value.ullVal = value;
}

static void set_signed(nvmlFieldValue_t *field, int value)
{
    field->valueType = NVML_VALUE_TYPE_SIGNED_INT;
    field->value.siVal = value;
}

static nvmlReturn_t where(bool supported)
{
    return supported ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

/* What a GPU draws, in milliwatts; `scopeId` may ask for the module's or the memory's share. */
static nvmlReturn_t read_power(const struct gv_target *target, nvmlFieldValue_t *field)
{
    const struct gv_model *model = gv_model_of(target->device);
    bool average = field->fieldId == NVML_FI_DEV_POWER_AVERAGE;
    if (field->scopeId == NVML_POWER_SCOPE_MEMORY) {
        set_unsigned(field, MEMORY_POWER);
        return where(average && target->device->cc_major >= 9 && model->bus_width >= 1024);
    }
    set_unsigned(field, model->power_idle * 1000);
    if (field->scopeId != NVML_POWER_SCOPE_GPU)
        return NVML_ERROR_NOT_SUPPORTED;
    return where(!average || target->device->cc_major >= 8);
}

static nvmlReturn_t read_power_limit(const struct gv_target *target, nvmlFieldValue_t *field)
{
    const struct gv_model *model = gv_model_of(target->device);
    if (field->scopeId != NVML_POWER_SCOPE_GPU)
        return NVML_ERROR_NOT_SUPPORTED;
    unsigned int watts = model->power_limit;
    if (field->fieldId == NVML_FI_DEV_POWER_MIN_LIMIT)
        watts = model->power_minimum;
    else if (field->fieldId == NVML_FI_DEV_POWER_MAX_LIMIT && model->power_highest)
        watts = model->power_highest;
    set_unsigned(field, watts * 1000);
    return NVML_SUCCESS;
}

static nvmlReturn_t read_temperature(const struct gv_target *target, nvmlFieldValue_t *field)
{
    struct gv_thresholds thresholds = gv_model_thresholds(target->device);
    bool memory = gv_nvml_has_memory_sensor(target->device);
    switch (field->fieldId) {
    case NVML_FI_DEV_MEMORY_TEMP:
        set_unsigned(field, MEMORY_TEMPERATURE);
        return where(memory);
    case NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT:
        set_signed(field, thresholds.shutdown);
        break;
    case NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT:
        set_signed(field, thresholds.slowdown);
        break;
    case NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT:
        set_signed(field, thresholds.highest);
        break;
    default: /* NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT */
        set_signed(field, 0);
        return where(memory && gv_model_counts_from_limit(target->device));
    }
    return where(gv_model_counts_from_limit(target->device));
}

static nvmlReturn_t read_field(const struct gv_target *target, nvmlFieldValue_t *field)
{
    switch (field->fieldId) {
    case NVML_FI_DEV_ECC_CURRENT:
    case NVML_FI_DEV_ECC_PENDING:
        set_unsigned(field, 1);
        return where(gv_nvml_has_ecc(target));
    case NVML_FI_DEV_ECC_SBE_VOL_TOTAL:
    case NVML_FI_DEV_ECC_DBE_VOL_TOTAL:
    case NVML_FI_DEV_ECC_SBE_AGG_TOTAL:
    case NVML_FI_DEV_ECC_DBE_AGG_TOTAL:
        set_counter(field, 0);
        return where(gv_nvml_has_ecc(target));
    case NVML_FI_DEV_RETIRED_SBE:
    case NVML_FI_DEV_RETIRED_DBE:
    case NVML_FI_DEV_RETIRED_PENDING:
    case NVML_FI_DEV_RETIRED_PENDING_SBE:
    case NVML_FI_DEV_RETIRED_PENDING_DBE:
        return where(gv_model_retires_pages(target->device));
    case NVML_FI_DEV_REMAPPED_COR:
    case NVML_FI_DEV_REMAPPED_UNC:
    case NVML_FI_DEV_REMAPPED_PENDING:
    case NVML_FI_DEV_REMAPPED_FAILURE:
    case NVML_FI_DEV_REMAPPED_ROWS_COR_INACTIVE:
    case NVML_FI_DEV_REMAPPED_ROWS_UNC_INACTIVE:
        return where(gv_nvml_remaps_rows(target) && !target->device->mig_enabled);
    case NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION:
    case NVML_FI_DEV_ENERGY:
        set_counter(field, gv_nvml_energy(target));
        return NVML_SUCCESS;
    case NVML_FI_DEV_PERF_POLICY_POWER:
    case NVML_FI_DEV_PERF_POLICY_THERMAL:
    case NVML_FI_DEV_PERF_POLICY_SYNC_BOOST:
    case NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT:
    case NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION:
    case NVML_FI_DEV_PERF_POLICY_RELIABILITY:
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN:
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN:
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN:
        set_counter(field, 0);
        return NVML_SUCCESS;
    case NVML_FI_DEV_PCIE_REPLAY_COUNTER:
    case NVML_FI_DEV_PCIE_REPLAY_ROLLOVER_COUNTER:
    case NVML_FI_DEV_NVLINK_LINK_COUNT:
        return NVML_SUCCESS; /* none: the field is 0 */
    case NVML_FI_DEV_POWER_AVERAGE:
    case NVML_FI_DEV_POWER_INSTANT:
        return read_power(target, field);
    case NVML_FI_DEV_POWER_MIN_LIMIT:
    case NVML_FI_DEV_POWER_MAX_LIMIT:
    case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
    case NVML_FI_DEV_POWER_CURRENT_LIMIT:
    case NVML_FI_DEV_POWER_REQUESTED_LIMIT:
        return read_power_limit(target, field);
    case NVML_FI_DEV_MEMORY_TEMP:
    case NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT:
    case NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT:
    case NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT:
    case NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT:
        return read_temperature(target, field);
    default:
        return NVML_ERROR_NOT_SUPPORTED;
    }
}

/* Succeeds as a whole; each field says for itself whether it was read. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, count > 0 ? values : NULL, &target));
    for (int i = 0; i < count; i++) {
        nvmlFieldValue_t *field = &values[i];
        field->timestamp = gv_nvml_now();
        field->latencyUsec = 0;
        field->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
        field->value.ullVal = 0;
        field->nvmlReturn = read_field(&target, field);
    }
    return NVML_SUCCESS;
}

/* Counters that a client has set back: none ever left zero. */
nvmlReturn_t nvmlDeviceClearFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, count > 0 ? values : NULL, &target));
    for (int i = 0; i < count; i++)
        values[i].nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    return NVML_SUCCESS;
}
