/* libnvidia-ml.so.1: clocks in MHz, and performance states. A simulated GPU is idle. */
#include "nvml_internal.h"

enum {
    IDLE_CLOCK = 210,
    IDLE_VIDEO_CLOCK = 555,
    IDLE_MEMORY_CLOCK = 405,
    CLOCK_STEP = 15,
};

static unsigned int video_clock(const struct gv_model *model)
{
    if (model->video_clock)
        return model->video_clock;
    return model->graphics_clock * 78 / 100 / 15 * 15; /* the ratio on real GPUs; clocks are multiples of 15 */
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, clock, &target));
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
    TRY(nvmlDeviceGetMaxClockInfo(device, type, clock));
    TRY(gv_nvml_gpu(device, clock, &target));
    if (type == NVML_CLOCK_VIDEO)
        *clock = IDLE_VIDEO_CLOCK;
    else if (type != NVML_CLOCK_MEM)
        *clock = gv_model_of(target.device)->idle_clock ? gv_model_of(target.device)->idle_clock : IDLE_CLOCK;
    else if (gv_model_is_consumer(target.device))
        *clock = IDLE_MEMORY_CLOCK;
    return NVML_SUCCESS;
}

/* The clock that programs are given unless they ask otherwise. */
static nvmlReturn_t applications_clock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, clock, &target));
    TRY(gv_nvml_given_up(target.state));
    if (gv_model_is_consumer(target.device) || type == NVML_CLOCK_VIDEO)
        return NVML_ERROR_NOT_SUPPORTED;
    return nvmlDeviceGetMaxClockInfo(device, type, clock);
}
SAME_AS(nvmlDeviceGetApplicationsClock, applications_clock);
SAME_AS(nvmlDeviceGetDefaultApplicationsClock, applications_clock);

nvmlReturn_t nvmlDeviceGetMaxCustomerBoostClock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    struct gv_target target;
    TRY(gv_nvml_open_where(gv_nvml_has_ecc, device, clock, &target));
    return nvmlDeviceGetMaxClockInfo(device, type, clock);
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
        break;
    }
    struct gv_target target;
    TRY(gv_nvml_gpu(device, clock, &target));
    return NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t *state)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, state, &target));
    *state = gv_model_is_consumer(target.device) ? NVML_PSTATE_8 : NVML_PSTATE_0;
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetPowerState, nvmlDeviceGetPerformanceState);

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, reasons, &target));
    *reasons = nvmlClocksEventReasonGpuIdle;
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetCurrentClocksThrottleReasons, nvmlDeviceGetCurrentClocksEventReasons);

nvmlReturn_t nvmlDeviceGetSupportedClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, reasons, &target));
    *reasons = 0x1FF; /* all but those of newer drivers */
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetSupportedClocksThrottleReasons, nvmlDeviceGetSupportedClocksEventReasons);

/* The memory clocks that a GPU can be set to, the highest first; how many there are. */
static unsigned int memory_clocks(const struct gv_device *device, unsigned int clocks[5])
{
    const struct gv_model *model = gv_model_of(device);
    unsigned int count = 0;
    clocks[count++] = model->memory_clock;
    for (size_t i = 0; i < sizeof model->memory_clocks / sizeof *model->memory_clocks && model->memory_clocks[i]; i++)
        clocks[count++] = model->memory_clocks[i];
    if (count == 1 && gv_model_is_consumer(device))
        clocks[count++] = IDLE_MEMORY_CLOCK;
    return count;
}

nvmlReturn_t nvmlDeviceGetSupportedMemoryClocks(nvmlDevice_t device, unsigned int *count, unsigned int *clocks)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, count, &target));
    unsigned int found[5], total = memory_clocks(target.device, found), capacity = *count;
    *count = total;
    if (capacity < total)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    if (!clocks)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned int i = 0; i < total; i++)
        clocks[i] = found[i];
    return NVML_SUCCESS;
}

/* Every 15 MHz down to the idle clock; fewer with the memory at its slowest. */
nvmlReturn_t nvmlDeviceGetSupportedGraphicsClocks(nvmlDevice_t device, unsigned int memory, unsigned int *count,
                                                  unsigned int *clocks)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, count, &target));
    const struct gv_model *model = gv_model_of(target.device);
    unsigned int found[5], total = memory_clocks(target.device, found), place = 0;
    while (place < total && found[place] != memory)
        place++;
    if (place == total)
        return NVML_ERROR_NOT_FOUND;
    unsigned int highest = model->graphics_clock, capacity = *count;
    unsigned int lowest = gv_model_architecture(target.device) == NVML_DEVICE_ARCH_TURING ? 300 : IDLE_CLOCK;
    if (total > 1 && place == total - 1)
        highest = model->low_memory_limit ? model->low_memory_limit : 420;
    *count = (highest - lowest) / CLOCK_STEP + 1;
    if (capacity < *count)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    if (!clocks)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned int i = 0; i < *count; i++)
        clocks[i] = highest - i * CLOCK_STEP;
    return NVML_SUCCESS;
}

/* The states that a GPU can be in, ended by NVML_PSTATE_UNKNOWN; `size` counts bytes. */
nvmlReturn_t nvmlDeviceGetSupportedPerformanceStates(nvmlDevice_t device, nvmlPstates_t *states, unsigned int size)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, states, &target));
    const unsigned int capacity = size / sizeof *states;
    nvmlPstates_t found[] = {NVML_PSTATE_0, NVML_PSTATE_8};
    const unsigned int count = gv_model_is_consumer(target.device) ? 2 : 1;
    if (capacity < count)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned int i = 0; i < capacity; i++)
        states[i] = i < count ? found[i] : NVML_PSTATE_UNKNOWN;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinMaxClockOfPState(nvmlDevice_t device, nvmlClockType_t type, nvmlPstates_t state,
                                              unsigned int *lowest, unsigned int *highest)
{
    TRY(nvmlDeviceGetMaxClockInfo(device, type, lowest && highest ? highest : NULL));
    if (state != NVML_PSTATE_0 && state != NVML_PSTATE_8)
        return NVML_ERROR_NOT_SUPPORTED;
    *lowest = type == NVML_CLOCK_MEM ? *highest : IDLE_CLOCK;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAdaptiveClockInfoStatus(nvmlDevice_t device, unsigned int *status)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, status, &target));
    *status = NVML_ADAPTIVE_CLOCKING_INFO_STATUS_DISABLED;
    return NVML_SUCCESS;
}
