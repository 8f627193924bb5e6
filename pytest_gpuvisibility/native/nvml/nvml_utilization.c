/* libnvidia-ml.so.1: how busy a GPU is, which a simulated one never is. */
#include "nvml_internal.h"

enum { SAMPLING_PERIOD = 200000 /* microseconds */ };

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
