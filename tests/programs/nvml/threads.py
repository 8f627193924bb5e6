"""Four threads initialise NVML, read and shut it down, again and again."""

import ctypes
import json
import threading

nvml = ctypes.CDLL("libnvidia-ml.so.1")
wrong = []


def work():
    handle, count, name = ctypes.c_void_p(), ctypes.c_uint(), ctypes.create_string_buffer(96)
    for _ in range(300):
        codes = [
            nvml.nvmlInit_v2(),
            nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)),
            nvml.nvmlDeviceGetHandleByIndex_v2(3, ctypes.byref(handle)),
            nvml.nvmlDeviceGetName(handle, name, 96),
            nvml.nvmlShutdown(),
        ]
        if any(codes) or count.value != 4:
            wrong.append(codes)


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(wrong))
