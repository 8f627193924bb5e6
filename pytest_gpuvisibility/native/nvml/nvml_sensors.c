/* libnvidia-ml.so.1: what a GPU measures and is set to. A simulated GPU computes nothing: it is always idle and cool,
 * and no reading pretends otherwise. */
#include "nvml_internal.h"

#include <time.h>

enum {
    TEMPERATURE = 32,         /* degrees C */
    LIMIT_TEMPERATURE = 87,   /* T.Limit */
    HIGHEST_MEMORY_TEMPERATURE = 95,
    LOWEST_TARGET = 65,
    HIGHEST_TARGET = 91,
    FAN_SPEED = 30,           /* per cent */
    SAMPLING_PERIOD = 200000, /* microseconds */
};

/* ---- temperature and fans ---- */

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *temperature)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, temperature, &target));
    if (sensor != NVML_TEMPERATURE_GPU)
        return NVML_ERROR_INVALID_ARGUMENT;
    *temperature = TEMPERATURE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, temperature, &target));
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
    TRY(gv_nvml_gpu(device, margin, &target));
    if (margin->version != nvmlMarginTemperature_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (gv_model_architecture(target.device) < NVML_DEVICE_ARCH_ADA)
        return NVML_ERROR_NOT_SUPPORTED;
    margin->marginTemperature = LIMIT_TEMPERATURE - TEMPERATURE;
    return NVML_SUCCESS;
}

/* 0 for a threshold that the GPU has not. From Ada on they are distances from T.Limit: see the fields. */
static int threshold_degrees(const struct gv_device *device, nvmlTemperatureThresholds_t threshold)
{
    struct gv_thresholds known = gv_model_thresholds(device);
    int limit = gv_model_counts_from_limit(device) ? LIMIT_TEMPERATURE : 0;
    switch (threshold) {
    case NVML_TEMPERATURE_THRESHOLD_SHUTDOWN:
        return limit ? limit - known.shutdown : known.shutdown;
    case NVML_TEMPERATURE_THRESHOLD_SLOWDOWN:
        return limit ? limit - known.slowdown : known.slowdown;
    case NVML_TEMPERATURE_THRESHOLD_GPU_MAX:
        return limit ? limit - known.highest : known.highest;
    case NVML_TEMPERATURE_THRESHOLD_MEM_MAX:
        return gv_nvml_has_memory_sensor(device) ? HIGHEST_MEMORY_TEMPERATURE : 0;
    case NVML_TEMPERATURE_THRESHOLD_ACOUSTIC_CURR:
        return known.target;
    case NVML_TEMPERATURE_THRESHOLD_ACOUSTIC_MIN:
        return known.target ? LOWEST_TARGET : 0;
    case NVML_TEMPERATURE_THRESHOLD_ACOUSTIC_MAX:
        return known.target ? HIGHEST_TARGET : 0;
    default:
        return 0;
    }
}

nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, nvmlTemperatureThresholds_t threshold,
                                               unsigned int *temperature)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, temperature, &target));
    if (threshold >= NVML_TEMPERATURE_THRESHOLD_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    int degrees = threshold_degrees(target.device, threshold);
    if (!degrees)
        return NVML_ERROR_NOT_SUPPORTED;
    *temperature = (unsigned int)degrees;
    return NVML_SUCCESS;
}

static bool has_fans(const struct gv_target *target)
{
    return gv_model_is_consumer(target->device);
}

nvmlReturn_t nvmlDeviceGetNumFans(nvmlDevice_t device, unsigned int *count)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, count, &target));
    *count = has_fans(&target) ? 1 : 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t device, unsigned int *speed)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(has_fans, device, speed, &target));
    *speed = FAN_SPEED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFanSpeed_v2(nvmlDevice_t device, unsigned int fan, unsigned int *speed)
{
    nvmlReturn_t result = nvmlDeviceGetFanSpeed(device, speed);
    return result == NVML_SUCCESS && fan ? NVML_ERROR_INVALID_ARGUMENT : result;
}

static nvmlReturn_t open_fan(nvmlDevice_t device, unsigned int fan, const void *output)
{
    struct gv_target target;
    nvmlReturn_t result = gv_nvml_open_where(has_fans, device, output, &target);
    return result == NVML_SUCCESS && fan ? NVML_ERROR_INVALID_ARGUMENT : result;
}

nvmlReturn_t nvmlDeviceGetTargetFanSpeed(nvmlDevice_t device, unsigned int fan, unsigned int *speed)
{
    TRY(open_fan(device, fan, speed));
    *speed = FAN_SPEED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinMaxFanSpeed(nvmlDevice_t device, unsigned int *lowest, unsigned int *highest)
{
    TRY(open_fan(device, 0, lowest && highest ? lowest : NULL));
    *lowest = FAN_SPEED;
    *highest = 100;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFanControlPolicy_v2(nvmlDevice_t device, unsigned int fan, nvmlFanControlPolicy_t *policy)
{
    TRY(open_fan(device, fan, policy));
    *policy = NVML_FAN_POLICY_TEMPERATURE_CONTINOUS_SW;
    return NVML_SUCCESS;
}

/* ---- power, in milliwatts ---- */

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, power, &target));
    *power = gv_model_of(target.device)->power_idle * 1000;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned int *limit)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, limit, &target));
    *limit = gv_model_of(target.device)->power_limit * 1000;
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetEnforcedPowerLimit, nvmlDeviceGetPowerManagementLimit);

SAME_AS(nvmlDeviceGetPowerManagementDefaultLimit, nvmlDeviceGetPowerManagementLimit);

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned int *lowest,
                                                          unsigned int *highest)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, lowest && highest ? lowest : NULL, &target));
    *lowest = gv_model_of(target.device)->power_minimum * 1000;
    *highest = gv_model_of(target.device)->power_highest * 1000;
    if (!*highest)
        *highest = gv_model_of(target.device)->power_limit * 1000;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, mode, &target));
    TRY(gv_nvml_given_up(target.state));
    *mode = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

/* Millijoules at idle since the system was started. */
unsigned long long gv_nvml_energy(const struct gv_target *target)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    unsigned long long milliseconds = (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
    return milliseconds * gv_model_of(target->device)->power_idle;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, millijoules, &target));
    *millijoules = gv_nvml_energy(&target);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerSource(nvmlDevice_t device, nvmlPowerSource_t *source)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, source, &target));
    *source = NVML_POWER_SOURCE_AC;
    return NVML_SUCCESS;
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
    TRY(gv_nvml_open_where(has_utilization, device, utilization, &target));
    *utilization = (nvmlUtilization_t){0, 0};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned int *utilization, unsigned int *period)
{
    struct gv_target target;
    const void *output = utilization && period ? utilization : NULL;
    TRY(gv_nvml_open_where(has_utilization, device, output, &target));
    *utilization = 0;
    *period = SAMPLING_PERIOD;
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetDecoderUtilization, nvmlDeviceGetEncoderUtilization);
SAME_AS(nvmlDeviceGetJpgUtilization, nvmlDeviceGetEncoderUtilization);
SAME_AS(nvmlDeviceGetOfaUtilization, nvmlDeviceGetEncoderUtilization);

nvmlReturn_t nvmlDeviceGetEncoderStats(nvmlDevice_t device, unsigned int *sessions, unsigned int *frames,
                                       unsigned int *latency)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, sessions && frames && latency ? sessions : NULL, &target));
    *sessions = *frames = *latency = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFBCStats(nvmlDevice_t device, nvmlFBCStats_t *stats)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, stats, &target));
    *stats = (nvmlFBCStats_t){0};
    return NVML_SUCCESS;
}

/* No program encodes or captures a screen. */
static nvmlReturn_t no_sessions(nvmlDevice_t device, unsigned int *count)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, count, &target));
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEncoderSessions(nvmlDevice_t device, unsigned int *count, nvmlEncoderSessionInfo_t *sessions)
{
    (void)sessions;
    return no_sessions(device, count);
}

nvmlReturn_t nvmlDeviceGetFBCSessions(nvmlDevice_t device, unsigned int *count, nvmlFBCSessionInfo_t *sessions)
{
    (void)sessions;
    return no_sessions(device, count);
}

nvmlReturn_t nvmlDeviceGetEncoderCapacity(nvmlDevice_t device, nvmlEncoderType_t type, unsigned int *capacity)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, capacity, &target));
    if (type > NVML_ENCODER_QUERY_AV1)
        return NVML_ERROR_INVALID_ARGUMENT;
    *capacity = 100;
    return NVML_SUCCESS;
}

/* NVML keeps samples of some seconds; a GPU that is always the same needs only the last one. */
nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type, unsigned long long last_seen,
                                  nvmlValueType_t *value_type, unsigned int *count, nvmlSample_t *samples)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, value_type && count ? count : NULL, &target));
    if (type >= NVML_SAMPLINGTYPE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (type != NVML_TOTAL_POWER_SAMPLES && !has_utilization(&target))
        return NVML_ERROR_NOT_SUPPORTED;
    unsigned long long now = (unsigned long long)gv_nvml_now();
    if (last_seen >= now)
        return NVML_ERROR_NOT_FOUND;
    *value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
    if (!samples) {
        *count = 1;
        return NVML_SUCCESS;
    }
    if (!*count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = 1;
    samples[0] = (nvmlSample_t){.timeStamp = now};
    if (type == NVML_TOTAL_POWER_SAMPLES)
        samples[0].sampleValue.uiVal = gv_model_of(target.device)->power_idle * 1000;
    else if (type == NVML_PROCESSOR_CLK_SAMPLES)
        return nvmlDeviceGetClockInfo(device, NVML_CLOCK_SM, &samples[0].sampleValue.uiVal);
    else if (type == NVML_MEMORY_CLK_SAMPLES)
        return nvmlDeviceGetClockInfo(device, NVML_CLOCK_MEM, &samples[0].sampleValue.uiVal);
    return NVML_SUCCESS;
}

/* Never slowed down by anything. */
nvmlReturn_t nvmlDeviceGetViolationStatus(nvmlDevice_t device, nvmlPerfPolicyType_t policy, nvmlViolationTime_t *time)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, time, &target));
    if (policy >= NVML_PERF_POLICY_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    *time = (nvmlViolationTime_t){.referenceTime = (unsigned long long)gv_nvml_now()};
    return NVML_SUCCESS;
}

/* ---- modes ---- */

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, mode, &target));
    *mode = (nvmlComputeMode_t)atomic_load(&target.device->compute_mode);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, mode, &target));
    *mode = gv_model_is_consumer(target.device) ? NVML_FEATURE_DISABLED : NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

/* Enabled on real GPUs also where no display is connected; whether one is in use is nvmlDeviceGetDisplayActive. */
nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, mode, &target));
    TRY(gv_nvml_given_up(target.state));
    *mode = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDisplayActive(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, mode, &target));
    *mode = NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetVirtualizationMode(nvmlDevice_t device, nvmlGpuVirtualizationMode_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, mode, &target));
    *mode = NVML_GPU_VIRTUALIZATION_MODE_NONE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAddressingMode(nvmlDevice_t device, nvmlDeviceAddressingMode_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, mode, &target));
    if (mode->version != nvmlDeviceAddressingMode_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    mode->value = NVML_DEVICE_ADDRESSING_MODE_NONE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetC2cModeInfoV(nvmlDevice_t device, nvmlC2cModeInfo_v1_t *mode)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, mode, &target));
    if (gv_model_architecture(target.device) < NVML_DEVICE_ARCH_HOPPER)
        return NVML_ERROR_NOT_SUPPORTED;
    mode->isC2cEnabled = 0;
    return NVML_SUCCESS;
}

/* Programs without privileges may not change clocks, as a driver has it unless told otherwise. */
nvmlReturn_t nvmlDeviceGetAPIRestriction(nvmlDevice_t device, nvmlRestrictedAPI_t api, nvmlEnableState_t *restricted)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, restricted, &target));
    if (api >= NVML_RESTRICTED_API_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    *restricted = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

/* ---- PCI Express ---- */

static nvmlReturn_t constant(nvmlDevice_t device, unsigned int *output, unsigned int value)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, output, &target));
    *output = value;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, generation, &target));
    *generation = gv_model_pcie_generation(target.device);
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetGpuMaxPcieLinkGeneration, nvmlDeviceGetMaxPcieLinkGeneration);
SAME_AS(nvmlDeviceGetPcieLinkMaxSpeed, nvmlDeviceGetMaxPcieLinkGeneration); /* NVML_PCIE_LINK_MAX_SPEED_... count them */

/* An idle consumer GPU slows its link down. */
nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, generation, &target));
    *generation = gv_model_is_consumer(target.device) ? 1 : gv_model_pcie_generation(target.device);
    return NVML_SUCCESS;
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

/* Megabits per second and lane, as the driver counts them. */
static unsigned int lane_speed(unsigned int generation)
{
    static const unsigned int speeds[] = {0, 2500, 5000, 8000, 16000, 32000, 64000};
    return generation < sizeof speeds / sizeof *speeds ? speeds[generation] : 0;
}

nvmlReturn_t nvmlDeviceGetPcieSpeed(nvmlDevice_t device, unsigned int *speed)
{
    unsigned int generation;
    TRY(nvmlDeviceGetCurrPcieLinkGeneration(device, speed ? &generation : NULL));
    *speed = lane_speed(generation);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetIrqNum(nvmlDevice_t device, unsigned int *number)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, number, &target));
    *number = 100 + (unsigned int)target.device_index;
    return NVML_SUCCESS;
}
