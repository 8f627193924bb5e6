/* libnvidia-ml.so.1: what a GPU measures and is set to. A simulated GPU computes nothing: it is always idle and cool,
 * and no reading pretends otherwise. */
#include "nvml_internal.h"

#include <time.h>

enum {
    TEMPERATURE = 32,         /* degrees C */
    MEMORY_TEMPERATURE = 38,
    SLOWDOWN_TEMPERATURE = 89,
    SHUTDOWN_TEMPERATURE = 92,
    HIGHEST_TEMPERATURE = 85,
    HIGHEST_MEMORY_TEMPERATURE = 95,
    IDLE_CLOCK = 210,         /* MHz */
    IDLE_VIDEO_CLOCK = 555,
    FAN_SPEED = 30,           /* per cent */
    SAMPLING_PERIOD = 200000, /* microseconds */
};

static bool has_ecc(const struct gv_target *target)
{
    return !gv_model_is_consumer(target->device);
}

/* Opens a GPU for a reading that only some products have. */
static nvmlReturn_t open_where(bool (*supported)(const struct gv_target *), nvmlDevice_t device, const void *output,
                               struct gv_target *target)
{
    nvmlReturn_t result = gv_nvml_gpu(device, output, target);
    return result == NVML_SUCCESS && !supported(target) ? NVML_ERROR_NOT_SUPPORTED : result;
}

/* ---- temperature and fans ---- */

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *temperature)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, temperature, &target);
    if (result != NVML_SUCCESS)
        return result;
    if (sensor != NVML_TEMPERATURE_GPU)
        return NVML_ERROR_INVALID_ARGUMENT;
    *temperature = TEMPERATURE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, temperature, &target);
    if (result != NVML_SUCCESS)
        return result;
    if (temperature->version != nvmlTemperature_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (temperature->sensorType != NVML_TEMPERATURE_GPU)
        return NVML_ERROR_INVALID_ARGUMENT;
    temperature->temperature = TEMPERATURE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMarginTemperature(nvmlDevice_t device, nvmlMarginTemperature_t *margin)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, margin, &target);
    if (result != NVML_SUCCESS)
        return result;
    if (margin->version != nvmlMarginTemperature_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (gv_model_architecture(target.device) < NVML_DEVICE_ARCH_ADA)
        return NVML_ERROR_NOT_SUPPORTED;
    margin->marginTemperature = HIGHEST_TEMPERATURE - TEMPERATURE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, nvmlTemperatureThresholds_t threshold,
                                               unsigned int *temperature)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, temperature, &target);
    if (result != NVML_SUCCESS)
        return result;
    switch (threshold) {
    case NVML_TEMPERATURE_THRESHOLD_SHUTDOWN:
        *temperature = SHUTDOWN_TEMPERATURE;
        return NVML_SUCCESS;
    case NVML_TEMPERATURE_THRESHOLD_SLOWDOWN:
        *temperature = SLOWDOWN_TEMPERATURE;
        return NVML_SUCCESS;
    case NVML_TEMPERATURE_THRESHOLD_MEM_MAX:
        *temperature = HIGHEST_MEMORY_TEMPERATURE;
        return NVML_SUCCESS;
    case NVML_TEMPERATURE_THRESHOLD_GPU_MAX:
        *temperature = HIGHEST_TEMPERATURE;
        return NVML_SUCCESS;
    default:
        return threshold < NVML_TEMPERATURE_THRESHOLD_COUNT ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
    }
}

static bool has_fans(const struct gv_target *target)
{
    return gv_model_is_consumer(target->device);
}

nvmlReturn_t nvmlDeviceGetNumFans(nvmlDevice_t device, unsigned int *count)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, count, &target);
    if (result == NVML_SUCCESS)
        *count = has_fans(&target) ? 1 : 0;
    return result;
}

nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t device, unsigned int *speed)
{
    struct gv_target target;
    nvmlReturn_t result = open_where(has_fans, device, speed, &target);
    if (result == NVML_SUCCESS)
        *speed = FAN_SPEED;
    return result;
}

nvmlReturn_t nvmlDeviceGetFanSpeed_v2(nvmlDevice_t device, unsigned int fan, unsigned int *speed)
{
    nvmlReturn_t result = nvmlDeviceGetFanSpeed(device, speed);
    return result == NVML_SUCCESS && fan ? NVML_ERROR_INVALID_ARGUMENT : result;
}

/* ---- power, in milliwatts ---- */

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, power, &target);
    if (result == NVML_SUCCESS)
        *power = gv_model_of(target.device)->power_idle * 1000;
    return result;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned int *limit)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, limit, &target);
    if (result == NVML_SUCCESS)
        *limit = gv_model_of(target.device)->power_limit * 1000;
    return result;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int *limit)
{
    return nvmlDeviceGetPowerManagementLimit(device, limit);
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned int *limit)
{
    return nvmlDeviceGetPowerManagementLimit(device, limit);
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned int *lowest,
                                                          unsigned int *highest)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, lowest && highest ? lowest : NULL, &target);
    if (result != NVML_SUCCESS)
        return result;
    *lowest = gv_model_of(target.device)->power_minimum * 1000;
    *highest = gv_model_of(target.device)->power_limit * 1000;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, mode, &target);
    if (result == NVML_SUCCESS)
        result = gv_nvml_given_up(target.state);
    if (result == NVML_SUCCESS)
        *mode = NVML_FEATURE_ENABLED;
    return result;
}

/* Millijoules at idle since the system was started. */
static unsigned long long energy(const struct gv_target *target)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    unsigned long long milliseconds = (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
    return milliseconds * gv_model_of(target->device)->power_idle;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, millijoules, &target);
    if (result == NVML_SUCCESS)
        *millijoules = energy(&target);
    return result;
}

/* ---- clocks, in MHz ---- */

static unsigned int video_clock(const struct gv_model *model)
{
    return model->graphics_clock * 78 / 100 / 15 * 15; /* the ratio on real GPUs; clocks are multiples of 15 */
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, clock, &target);
    if (result != NVML_SUCCESS)
        return result;
    const struct gv_model *model = gv_model_of(target.device);
    switch (type) {
    case NVML_CLOCK_GRAPHICS:
    case NVML_CLOCK_SM:
        *clock = model->graphics_clock;
        return NVML_SUCCESS;
    case NVML_CLOCK_MEM:
        *clock = model->memory_clock;
        return NVML_SUCCESS;
    case NVML_CLOCK_VIDEO:
        *clock = video_clock(model);
        return NVML_SUCCESS;
    default:
        return NVML_ERROR_INVALID_ARGUMENT;
    }
}

/* A data-centre GPU keeps its memory at full speed. */
nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    struct gv_target target;
    nvmlReturn_t result = nvmlDeviceGetMaxClockInfo(device, type, clock);
    if (result == NVML_SUCCESS)
        result = gv_nvml_gpu(device, clock, &target);
    if (result != NVML_SUCCESS)
        return result;
    if (type == NVML_CLOCK_VIDEO)
        *clock = IDLE_VIDEO_CLOCK;
    else if (type != NVML_CLOCK_MEM)
        *clock = IDLE_CLOCK;
    else if (gv_model_is_consumer(target.device))
        *clock = 405;
    return NVML_SUCCESS;
}

/* The clock that programs are given unless they ask otherwise. */
static nvmlReturn_t applications_clock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, clock, &target);
    if (result == NVML_SUCCESS)
        result = gv_nvml_given_up(target.state);
    if (result != NVML_SUCCESS)
        return result;
    if (gv_model_is_consumer(target.device) || type == NVML_CLOCK_VIDEO)
        return NVML_ERROR_NOT_SUPPORTED;
    return nvmlDeviceGetMaxClockInfo(device, type, clock);
}

nvmlReturn_t nvmlDeviceGetApplicationsClock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    return applications_clock(device, type, clock);
}

nvmlReturn_t nvmlDeviceGetDefaultApplicationsClock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    return applications_clock(device, type, clock);
}

nvmlReturn_t nvmlDeviceGetMaxCustomerBoostClock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    struct gv_target target;
    nvmlReturn_t result = open_where(has_ecc, device, clock, &target);
    return result == NVML_SUCCESS ? nvmlDeviceGetMaxClockInfo(device, type, clock) : result;
}

nvmlReturn_t nvmlDeviceGetClock(nvmlDevice_t device, nvmlClockType_t type, nvmlClockId_t id, unsigned int *clock)
{
    switch (id) {
    case NVML_CLOCK_ID_CURRENT:
        return nvmlDeviceGetClockInfo(device, type, clock);
    case NVML_CLOCK_ID_APP_CLOCK_TARGET:
    case NVML_CLOCK_ID_APP_CLOCK_DEFAULT:
        return applications_clock(device, type, clock);
    case NVML_CLOCK_ID_CUSTOMER_BOOST_MAX:
        return nvmlDeviceGetMaxCustomerBoostClock(device, type, clock);
    default:
        return NVML_ERROR_INVALID_ARGUMENT;
    }
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t *state)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, state, &target);
    if (result == NVML_SUCCESS)
        *state = gv_model_is_consumer(target.device) ? NVML_PSTATE_8 : NVML_PSTATE_0;
    return result;
}

nvmlReturn_t nvmlDeviceGetPowerState(nvmlDevice_t device, nvmlPstates_t *state)
{
    return nvmlDeviceGetPerformanceState(device, state);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, reasons, &target);
    if (result == NVML_SUCCESS)
        *reasons = nvmlClocksEventReasonGpuIdle;
    return result;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    return nvmlDeviceGetCurrentClocksEventReasons(device, reasons);
}

nvmlReturn_t nvmlDeviceGetSupportedClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, reasons, &target);
    if (result == NVML_SUCCESS)
        *reasons = 0x1FF; /* all but those of newer drivers */
    return result;
}

nvmlReturn_t nvmlDeviceGetSupportedClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    return nvmlDeviceGetSupportedClocksEventReasons(device, reasons);
}

/* ---- utilisation ---- */

/* NVML has none for a GPU that is cut into slices. */
static bool has_utilization(const struct gv_target *target)
{
    return !target->device->mig_enabled;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    struct gv_target target;
    nvmlReturn_t result = open_where(has_utilization, device, utilization, &target);
    if (result == NVML_SUCCESS)
        *utilization = (nvmlUtilization_t){0, 0};
    return result;
}

static nvmlReturn_t engine_utilization(nvmlDevice_t device, unsigned int *utilization, unsigned int *period)
{
    struct gv_target target;
    nvmlReturn_t result = open_where(has_utilization, device, utilization && period ? utilization : NULL, &target);
    if (result != NVML_SUCCESS)
        return result;
    *utilization = 0;
    *period = SAMPLING_PERIOD;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned int *utilization, unsigned int *period)
{
    return engine_utilization(device, utilization, period);
}

nvmlReturn_t nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned int *utilization, unsigned int *period)
{
    return engine_utilization(device, utilization, period);
}

nvmlReturn_t nvmlDeviceGetJpgUtilization(nvmlDevice_t device, unsigned int *utilization, unsigned int *period)
{
    return engine_utilization(device, utilization, period);
}

nvmlReturn_t nvmlDeviceGetOfaUtilization(nvmlDevice_t device, unsigned int *utilization, unsigned int *period)
{
    return engine_utilization(device, utilization, period);
}

nvmlReturn_t nvmlDeviceGetEncoderStats(nvmlDevice_t device, unsigned int *sessions, unsigned int *frames,
                                       unsigned int *latency)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, sessions && frames && latency ? sessions : NULL, &target);
    if (result == NVML_SUCCESS)
        *sessions = *frames = *latency = 0;
    return result;
}

nvmlReturn_t nvmlDeviceGetFBCStats(nvmlDevice_t device, nvmlFBCStats_t *stats)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, stats, &target);
    if (result == NVML_SUCCESS)
        *stats = (nvmlFBCStats_t){0};
    return result;
}

/* ---- modes ---- */

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t *mode)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, mode, &target);
    if (result == NVML_SUCCESS)
        *mode = (nvmlComputeMode_t)atomic_load(&target.device->compute_mode);
    return result;
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, mode, &target);
    if (result == NVML_SUCCESS)
        *mode = gv_model_is_consumer(target.device) ? NVML_FEATURE_DISABLED : NVML_FEATURE_ENABLED;
    return result;
}

/* Enabled on real GPUs also where no display is connected; whether one is in use is nvmlDeviceGetDisplayActive. */
nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, mode, &target);
    if (result == NVML_SUCCESS)
        result = gv_nvml_given_up(target.state);
    if (result == NVML_SUCCESS)
        *mode = NVML_FEATURE_ENABLED;
    return result;
}

nvmlReturn_t nvmlDeviceGetDisplayActive(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, mode, &target);
    if (result == NVML_SUCCESS)
        *mode = NVML_FEATURE_DISABLED;
    return result;
}

nvmlReturn_t nvmlDeviceGetVirtualizationMode(nvmlDevice_t device, nvmlGpuVirtualizationMode_t *mode)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, mode, &target);
    if (result == NVML_SUCCESS)
        *mode = NVML_GPU_VIRTUALIZATION_MODE_NONE;
    return result;
}

nvmlReturn_t nvmlDeviceGetAddressingMode(nvmlDevice_t device, nvmlDeviceAddressingMode_t *mode)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, mode, &target);
    if (result != NVML_SUCCESS)
        return result;
    if (mode->version != nvmlDeviceAddressingMode_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    mode->value = NVML_DEVICE_ADDRESSING_MODE_NONE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetC2cModeInfoV(nvmlDevice_t device, nvmlC2cModeInfo_v1_t *mode)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, mode, &target);
    if (result != NVML_SUCCESS)
        return result;
    if (gv_model_architecture(target.device) < NVML_DEVICE_ARCH_HOPPER)
        return NVML_ERROR_NOT_SUPPORTED;
    mode->isC2cEnabled = 0;
    return NVML_SUCCESS;
}

/* ---- ECC: on, and without errors ---- */

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *current, nvmlEnableState_t *pending)
{
    struct gv_target target;
    nvmlReturn_t result = open_where(has_ecc, device, current && pending ? current : NULL, &target);
    if (result == NVML_SUCCESS)
        *current = *pending = NVML_FEATURE_ENABLED;
    return result;
}

nvmlReturn_t nvmlDeviceGetDefaultEccMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    nvmlReturn_t result = open_where(has_ecc, device, mode, &target);
    if (result == NVML_SUCCESS)
        *mode = NVML_FEATURE_ENABLED;
    return result;
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type, nvmlEccCounterType_t counter,
                                         unsigned long long *count)
{
    struct gv_target target;
    nvmlReturn_t result = open_where(has_ecc, device, count, &target);
    if (result != NVML_SUCCESS)
        return result;
    if (type >= NVML_MEMORY_ERROR_TYPE_COUNT || counter >= NVML_ECC_COUNTER_TYPE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                             nvmlEccCounterType_t counter, nvmlMemoryLocation_t location,
                                             unsigned long long *count)
{
    nvmlReturn_t result = nvmlDeviceGetTotalEccErrors(device, type, counter, count);
    if (result != NVML_SUCCESS)
        return result;
    if (location == NVML_MEMORY_LOCATION_DRAM || location == NVML_MEMORY_LOCATION_SRAM)
        return NVML_SUCCESS;
    return location < NVML_MEMORY_LOCATION_COUNT ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetSramEccErrorStatus(nvmlDevice_t device, nvmlEccSramErrorStatus_t *status)
{
    struct gv_target target;
    nvmlReturn_t result = open_where(has_ecc, device, status, &target);
    if (result != NVML_SUCCESS)
        return result;
    if (status->version != nvmlEccSramErrorStatus_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *status = (nvmlEccSramErrorStatus_t){.version = nvmlEccSramErrorStatus_v1};
    return NVML_SUCCESS;
}

/* Rows are remapped from Ampere on. */
static bool has_row_remapping(const struct gv_target *target)
{
    return has_ecc(target) && target->device->cc_major >= 8;
}

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *correctable, unsigned int *uncorrectable,
                                       unsigned int *pending, unsigned int *failure)
{
    struct gv_target target;
    const void *output = correctable && uncorrectable && pending && failure ? correctable : NULL;
    nvmlReturn_t result = open_where(has_row_remapping, device, output, &target);
    if (result != NVML_SUCCESS)
        return result;
    if (target.device->mig_enabled)
        return NVML_ERROR_NOT_SUPPORTED;
    *correctable = *uncorrectable = *pending = *failure = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device, nvmlRowRemapperHistogramValues_t *values)
{
    struct gv_target target;
    nvmlReturn_t result = open_where(has_row_remapping, device, values, &target);
    if (result != NVML_SUCCESS)
        return result;
    unsigned int banks = target.device->cc_major >= 9 ? 2560 : (target.device->cc_minor ? 192 : 640);
    *values = (nvmlRowRemapperHistogramValues_t){.max = banks};
    return NVML_SUCCESS;
}

/* ---- PCI Express ---- */

static nvmlReturn_t constant(nvmlDevice_t device, unsigned int *output, unsigned int value)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, output, &target);
    if (result == NVML_SUCCESS)
        *output = value;
    return result;
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, generation, &target);
    if (result == NVML_SUCCESS)
        *generation = gv_model_pcie_generation(target.device);
    return result;
}

nvmlReturn_t nvmlDeviceGetGpuMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation)
{
    return nvmlDeviceGetMaxPcieLinkGeneration(device, generation);
}

/* An idle consumer GPU slows its link down. */
nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, generation, &target);
    if (result == NVML_SUCCESS)
        *generation = gv_model_is_consumer(target.device) ? 1 : gv_model_pcie_generation(target.device);
    return result;
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned int *width)
{
    return constant(device, width, 16);
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned int *width)
{
    return constant(device, width, 16);
}

nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, nvmlPcieUtilCounter_t counter, unsigned int *value)
{
    nvmlReturn_t result = constant(device, value, 0);
    return result == NVML_SUCCESS && counter >= NVML_PCIE_UTIL_COUNT ? NVML_ERROR_INVALID_ARGUMENT : result;
}

nvmlReturn_t nvmlDeviceGetPcieReplayCounter(nvmlDevice_t device, unsigned int *value)
{
    return constant(device, value, 0);
}

nvmlReturn_t nvmlDeviceGetBusType(nvmlDevice_t device, nvmlBusType_t *type)
{
    return constant(device, type, NVML_BUS_TYPE_PCIE);
}

/* ---- fields ---- */

static void set_unsigned(nvmlFieldValue_t *field, unsigned int value)
{
    field->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
    field->value.uiVal = value;
}

static nvmlReturn_t read_field(const struct gv_target *target, nvmlFieldValue_t *field)
{
    const struct gv_model *model = gv_model_of(target->device);
    switch (field->fieldId) {
    case NVML_FI_DEV_ECC_CURRENT:
    case NVML_FI_DEV_ECC_PENDING:
        set_unsigned(field, 1);
        return has_ecc(target) ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
    case NVML_FI_DEV_MEMORY_TEMP: /* only stacked memory has a sensor */
        set_unsigned(field, MEMORY_TEMPERATURE);
        return model->bus_width >= 1024 && target->device->cc_major >= 8 ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
    case NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION:
        field->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
        field->value.ullVal = energy(target);
        return NVML_SUCCESS;
    case NVML_FI_DEV_NVLINK_LINK_COUNT:
        set_unsigned(field, 0);
        return NVML_SUCCESS;
    case NVML_FI_DEV_POWER_AVERAGE:
        set_unsigned(field, model->power_idle * 1000);
        return target->device->cc_major >= 8 ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
    case NVML_FI_DEV_POWER_INSTANT:
        set_unsigned(field, model->power_idle * 1000);
        return NVML_SUCCESS;
    case NVML_FI_DEV_POWER_MIN_LIMIT:
        set_unsigned(field, model->power_minimum * 1000);
        return NVML_SUCCESS;
    case NVML_FI_DEV_POWER_MAX_LIMIT:
    case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
    case NVML_FI_DEV_POWER_CURRENT_LIMIT:
    case NVML_FI_DEV_POWER_REQUESTED_LIMIT:
        set_unsigned(field, model->power_limit * 1000);
        return NVML_SUCCESS;
    default:
        return NVML_ERROR_NOT_SUPPORTED;
    }
}

static long long now_in_microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Succeeds as a whole; each field says for itself whether it was read. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_gpu(device, count > 0 ? values : NULL, &target);
    if (result != NVML_SUCCESS)
        return result;
    for (int i = 0; i < count; i++) {
        nvmlFieldValue_t *field = &values[i];
        field->timestamp = now_in_microseconds();
        field->latencyUsec = 0;
        field->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
        field->value.ullVal = 0;
        field->nvmlReturn = read_field(&target, field);
    }
    return NVML_SUCCESS;
}
