"""Waits for a GPU's critical error, and then once more."""

import json

import pynvml
from tried import tried

gpu = pynvml.nvmlDeviceGetHandleByIndex(2)
events = pynvml.nvmlEventSetCreate()
pynvml.nvmlDeviceRegisterEvents(gpu, pynvml.nvmlEventTypeXidCriticalError, events)
print("ready", flush=True)
event = pynvml.nvmlEventSetWait_v2(events, 60000)
print(json.dumps([event.eventType, event.eventData, tried(pynvml.nvmlEventSetWait_v2, events, 1)]))
