"""The devices that CUDA shows to numba-cuda; on each one that opens it copies an array there and back."""

import json
import warnings

import numpy
from numba import cuda

warnings.simplefilter("ignore")  # copying one small array at a time is what numba warns of


def described(gpu):
    sent = numpy.arange(1000)
    with gpu:
        total = cuda.current_context().get_memory_info().total
        copied = bool((cuda.to_device(sent).copy_to_host() == sent).all())
    return {"uuid": gpu.uuid, "name": gpu.name, "memory": total, "copied": copied}


def listed():
    try:
        return list(cuda.gpus)
    except cuda.CudaSupportError:  # numba's answer where cuInit finds no device
        return []


print(json.dumps({"cuda": [described(gpu) for gpu in listed()]}))
