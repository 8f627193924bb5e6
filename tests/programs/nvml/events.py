"""A set of events: what can be registered, waited for, and freed."""

import ctypes
import json

import pynvml
from tried import tried

gpu = pynvml.nvmlDeviceGetHandleByIndex(2)
events = pynvml.nvmlEventSetCreate()
types = pynvml.nvmlDeviceGetSupportedEventTypes(gpu)
print(
    json.dumps(
        {
            "types": types & pynvml.nvmlEventTypeXidCriticalError,
            "register": tried(pynvml.nvmlDeviceRegisterEvents, gpu, types, events),
            "unknown": tried(pynvml.nvmlDeviceRegisterEvents, gpu, 1 << 62, events),
            "no set": tried(pynvml.nvmlDeviceRegisterEvents, gpu, types, ctypes.c_void_p(4096)),
            "wait": tried(pynvml.nvmlEventSetWait_v2, events, 1),
            "free": tried(pynvml.nvmlEventSetFree, events),
            "freed": tried(pynvml.nvmlEventSetWait_v2, events, 1),
        }
    )
)
