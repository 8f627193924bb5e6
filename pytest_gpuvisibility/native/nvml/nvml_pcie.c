/* libnvidia-ml.so.1: PCI Express. */
#include "nvml_internal.h"

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
/* NVML_PCIE_LINK_MAX_SPEED_... count generations. */
SAME_AS(nvmlDeviceGetPcieLinkMaxSpeed, nvmlDeviceGetMaxPcieLinkGeneration);

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
