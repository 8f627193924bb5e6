"""What nvitop lists: every GPU by NVML, those that it takes for visible to CUDA (it asks libcuda in a child), and those
that its selection tool nvisel offers, without and with --inherit.
"""

import json

from nvitop import CudaDevice, Device, normalize_cuda_visible_devices, select_devices


def described(device):
    return {"uuid": device.uuid(), "name": device.name(), "memory": device.memory_total()}


if __name__ == "__main__":  # nvitop starts processes with multiprocessing's spawn
    print(
        json.dumps(
            {
                "nvml": [{**described(gpu), "pci_bus_id": gpu.bus_id()} for gpu in Device.all()],
                "cuda": [described(device) for device in CudaDevice.all()],
                "selected": select_devices(format="uuid", sort=False),
                "inherited": normalize_cuda_visible_devices().split(","),
            }
        )
    )
