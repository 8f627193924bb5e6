"""A whole GPU, one that is cut, and its slices."""

import json

import pynvml

pynvml.nvmlInit()
whole, sliced = pynvml.nvmlDeviceGetHandleByIndex(0), pynvml.nvmlDeviceGetHandleByIndex(1)


def error(function, *arguments):
    try:
        function(*arguments)
    except pynvml.NVMLError as error:
        return error.value


def about(slice_):
    shared = pynvml.nvmlDeviceGetAttributes_v2(slice_)
    return {
        "name": pynvml.nvmlDeviceGetName(slice_),
        "uuid": pynvml.nvmlDeviceGetUUID(slice_),
        "index": pynvml.nvmlDeviceGetIndex(slice_),
        "memory": pynvml.nvmlDeviceGetMemoryInfo(slice_).total,
        "multiprocessors": shared.multiprocessorCount,
        "instances": [pynvml.nvmlDeviceGetGpuInstanceId(slice_), pynvml.nvmlDeviceGetComputeInstanceId(slice_)],
        "parent": pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(slice_)),
        "is a slice": pynvml.nvmlDeviceIsMigDeviceHandle(slice_),
        "by uuid": pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetHandleByUUID(pynvml.nvmlDeviceGetUUID(slice_))),
        "temperature": error(pynvml.nvmlDeviceGetTemperature, slice_, 0),
    }


print(
    json.dumps(
        {
            "modes": [pynvml.nvmlDeviceGetMigMode(whole), pynvml.nvmlDeviceGetMigMode(sliced)],
            "most": [pynvml.nvmlDeviceGetMaxMigDeviceCount(whole), pynvml.nvmlDeviceGetMaxMigDeviceCount(sliced)],
            "whole": [
                pynvml.nvmlDeviceIsMigDeviceHandle(whole),
                error(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, whole, 0),
                error(pynvml.nvmlDeviceGetGpuInstanceId, whole),
                error(pynvml.nvmlDeviceGetAttributes_v2, whole),
            ],
            "slices": [about(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(sliced, index)) for index in range(2)],
            "no third": error(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, sliced, 2),
            "utilization": error(pynvml.nvmlDeviceGetUtilizationRates, sliced),
        },
        default=lambda number: number.value,  # of a c_uint, from some calls of nvidia-ml-py
    )
)
