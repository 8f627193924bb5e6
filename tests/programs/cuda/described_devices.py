"""Each device as CUDA describes it."""

from client import call, show
from cuda.bindings import driver

call(driver.cuInit, 0)
A = driver.CUdevice_attribute
for i in range(call(driver.cuDeviceGetCount)):
    bus = call(driver.cuDeviceGetPCIBusId, 20, i).split(b"\0")[0].decode()
    show(
        [
            call(driver.cuDeviceGetName, 80, i).split(b"\0")[0].decode(),
            call(driver.cuDeviceTotalMem, i),
            bus,
            call(driver.cuDeviceGetAttribute, A.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, i),
            call(driver.cuDeviceGetAttribute, A.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, i),
            int(call(driver.cuDeviceGetByPCIBusId, bus.encode())),
        ]
    )
