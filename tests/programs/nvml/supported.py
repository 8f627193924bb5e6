"""What each GPU supports."""

import json

import pynvml

pynvml.nvmlInit()


def supported(handle, function, *arguments):
    try:
        function(handle, *arguments)
    except pynvml.NVMLError_NotSupported:
        return False
    return True


print(
    json.dumps(
        [
            {
                "fan": supported(handle, pynvml.nvmlDeviceGetFanSpeed),
                "ecc": supported(handle, pynvml.nvmlDeviceGetEccMode),
                "mig": supported(handle, pynvml.nvmlDeviceGetMigMode),
                "serial": supported(handle, pynvml.nvmlDeviceGetSerial),
                "nvlink": supported(handle, pynvml.nvmlDeviceGetNvLinkState, 0),
            }
            for handle in map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        ]
    )
)
