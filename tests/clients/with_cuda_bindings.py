"""The devices that CUDA shows to cuda-bindings, NVIDIA's own Python binding of the driver API."""

import json
import uuid

from cuda.bindings import driver


def call(function, *arguments):
    result, *values = function(*arguments)
    assert result == driver.CUresult.CUDA_SUCCESS, (function.__name__, result)
    return values[0]


def text(raw):
    return raw.split(b"\0")[0].decode()


def shown():
    if driver.cuInit(0)[0] == driver.CUresult.CUDA_ERROR_NO_DEVICE:
        return []
    return [
        {
            "uuid": str(uuid.UUID(bytes=call(driver.cuDeviceGetUuid, device).bytes)),
            "pci_bus_id": text(call(driver.cuDeviceGetPCIBusId, 32, device)),
            "name": text(call(driver.cuDeviceGetName, 96, device)),
            "memory": call(driver.cuDeviceTotalMem, device),
        }
        for device in range(call(driver.cuDeviceGetCount))
    ]


print(json.dumps({"cuda": shown()}))
