"""Every GPU as gpustat lists it."""

import json

import gpustat

query = gpustat.new_query()
print(json.dumps({"nvml": [{"uuid": gpu.uuid, "name": gpu.name, "memory": gpu.memory_total << 20} for gpu in query]}))
