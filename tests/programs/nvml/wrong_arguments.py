"""What is answered to arguments that are wrong."""

import ctypes
import json

import pynvml

pynvml.nvmlInit()
nvml, gpu = ctypes.CDLL("libnvidia-ml.so.1"), pynvml.nvmlDeviceGetHandleByIndex(0)
number, buffer = ctypes.byref(ctypes.c_uint()), ctypes.create_string_buffer(96)
memory, temperature = pynvml.c_nvmlMemory_v2_t(), pynvml.c_nvmlTemperature_v1_t()
print(
    json.dumps(
        {
            "no output": nvml.nvmlDeviceGetIndex(gpu, None),
            "no handle": nvml.nvmlDeviceGetIndex(None, number),
            "not a handle": nvml.nvmlDeviceGetIndex(ctypes.c_void_p(ctypes.addressof(buffer)), number),
            "small buffer": nvml.nvmlDeviceGetUUID(gpu, buffer, 8),
            "one of two outputs": nvml.nvmlDeviceGetEccMode(gpu, number, None),
            "no version": nvml.nvmlDeviceGetMemoryInfo_v2(gpu, ctypes.byref(memory)),
            "no version either": nvml.nvmlDeviceGetTemperatureV(gpu, ctypes.byref(temperature)),
            "no such clock": nvml.nvmlDeviceGetClockInfo(gpu, 9, number),
            "no such sensor": nvml.nvmlDeviceGetTemperature(gpu, 5, number),
        }
    )
)
