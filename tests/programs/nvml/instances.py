"""The GPU instances and compute instances of a GPU that is cut."""

import ctypes
import json

import pynvml
from tried import tried

gpu = pynvml.nvmlDeviceGetHandleByIndex(1)
profile = pynvml.nvmlDeviceGetGpuInstanceProfileInfo(gpu, pynvml.NVML_GPU_INSTANCE_PROFILE_3_SLICE)
array = (pynvml.c_nvmlGpuInstance_t * profile.instanceCount)()
count = ctypes.c_uint()
pynvml.nvmlDeviceGetGpuInstances(gpu, profile.id, array, ctypes.byref(count))
found = []
for gpu_instance in array[: count.value]:
    gpu_instance = ctypes.cast(gpu_instance, pynvml.c_nvmlGpuInstance_t)
    info = pynvml.nvmlGpuInstanceGetInfo(gpu_instance)
    compute_profile = pynvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(gpu_instance, 2, 0)
    compute_instance = pynvml.nvmlGpuInstanceGetComputeInstanceById(gpu_instance, 0)
    compute = pynvml.nvmlComputeInstanceGetInfo_v2(compute_instance)
    found.append(
        [
            info.id,
            info.profileId,
            info.placement.size,
            pynvml.nvmlDeviceGetIndex(info.device),
            compute.id,
            compute.placement.size,
            compute_profile.sliceCount,
        ]
    )
print(
    json.dumps(
        {
            "profile": [profile.id, profile.sliceCount, profile.multiprocessorCount],
            "found": found,
            "left": [pynvml.nvmlDeviceGetGpuInstanceRemainingCapacity(gpu, id) for id in (9, 19)],
            "by id": tried(pynvml.nvmlDeviceGetGpuInstanceById, gpu, 9),
            "on a whole GPU": tried(
                pynvml.nvmlDeviceGetGpuInstanceRemainingCapacity, pynvml.nvmlDeviceGetHandleByIndex(0), 9
            ),
            "no such profile": tried(pynvml.nvmlDeviceGetGpuInstanceProfileInfo, gpu, 99),
        }
    )
)
