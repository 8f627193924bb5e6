"""The devices that CUDA shows to cuda.core; it makes a stream on each, which takes a context."""

import json

from cuda.core import Device


def described(device):
    device.set_current()
    device.create_stream().sync()
    return {"uuid": device.uuid, "name": device.name}


def listed():
    try:
        return Device.get_all_devices()
    except Exception as error:  # of a class that cuda.core keeps to itself
        if "CUDA_ERROR_NO_DEVICE" in str(error):
            return []
        raise


print(json.dumps({"cuda": [described(device) for device in listed()]}))
