"""The devices that NVIDIA's CUDA runtime, loaded from its own wheel by its full path, would show; ctypes alone."""

import ctypes
import importlib.metadata
import json
import uuid

NO_DEVICE = 100
UUID_AT, MEMORY_AT, SIZE = 256, 288, 4096  # of struct cudaDeviceProp, in CUDA 12 and 13 alike; room for all of it


def load(distribution, name):
    files = importlib.metadata.files(distribution)
    return ctypes.CDLL(str(next(file for file in files if file.name == name).locate()))


def show(runtime, properties_of="cudaGetDeviceProperties"):
    print(json.dumps({"cuda": list(shown(runtime, properties_of))}))


def shown(runtime, properties_of):
    count, properties, bus = ctypes.c_int(), ctypes.create_string_buffer(SIZE), ctypes.create_string_buffer(32)
    result = runtime.cudaGetDeviceCount(ctypes.byref(count))
    assert result in (0, NO_DEVICE), result
    for device in range(count.value):
        assert getattr(runtime, properties_of)(properties, device) == 0
        assert runtime.cudaDeviceGetPCIBusId(bus, len(bus), device) == 0
        yield {
            "uuid": str(uuid.UUID(bytes=properties.raw[UUID_AT : UUID_AT + 16])),
            "pci_bus_id": bus.value.decode(),
            "name": properties.value.decode(),
            "memory": int.from_bytes(properties.raw[MEMORY_AT : MEMORY_AT + 8], "little"),
        }
