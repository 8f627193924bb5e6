"""dask-cuda's reading, as LocalCUDACluster goes about it: one worker for each element, and its GPU."""

from __future__ import annotations

from answering import Answer, answer_all
from dask_cuda.utils import (
    cuda_visible_devices,
    get_device_total_memory,
    get_gpu_uuid,
    nvml_device_index,
    parse_cuda_visible_device,
)


def ask() -> Answer:
    visible = [parse_cuda_visible_device(element) for element in cuda_visible_devices(0).split(",")]
    return {"uuids": [_uuid(cuda_visible_devices(worker, visible)) for worker in range(len(visible))]}


def _uuid(mask_of_worker: str) -> str:
    device = nvml_device_index(0, mask_of_worker)
    # Whatever memory limit a cluster is given, it asks how much there is. For a slice the UUID would be its GPU's.
    get_device_total_memory(device)
    return str(device if str(device).startswith("MIG-") else get_gpu_uuid(device))


if __name__ == "__main__":
    answer_all("dask-cuda", ask)
