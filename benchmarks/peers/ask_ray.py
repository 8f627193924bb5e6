"""Ray's reading: how many GPUs a node has, and what it would write into a worker's mask for each."""

from __future__ import annotations

from answering import Answer, answer_all
from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager
from ray._private.resource_and_label_spec import ResourceAndLabelSpec


def ask() -> Answer:
    _, count = ResourceAndLabelSpec._get_current_node_accelerator(None, {})
    ids = NvidiaGPUAcceleratorManager.get_current_process_visible_accelerator_ids()
    return {"masks": [str(position) if ids is None else ids[position] for position in range(count)]}


if __name__ == "__main__":
    answer_all("ray", ask)
