/* libnvidia-ml.so.1: what a GPU is set to. */
#include "nvml_internal.h"

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
