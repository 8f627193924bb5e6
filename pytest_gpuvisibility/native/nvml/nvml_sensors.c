/* libnvidia-ml.so.1: temperatures, fans, and power. A simulated GPU computes nothing: it is always idle and cool, and
 * no reading pretends otherwise. */
#include "nvml_internal.h"

#include <time.h>

enum {
    TEMPERATURE = 32,       /* degrees C */
    LIMIT_TEMPERATURE = 87, /* T.Limit */
    HIGHEST_MEMORY_TEMPERATURE = 95,
    LOWEST_TARGET = 65,
    HIGHEST_TARGET = 91,
    FAN_SPEED = 30, /* per cent */
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
