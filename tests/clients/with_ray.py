"""What Ray's node agent finds when it starts: GPUs by its own copy of NVML's binding, and the mask as it splits it."""

import json

from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager as manager

print(
    json.dumps(
        {
            "count": manager.get_current_node_num_accelerators(),
            "type": manager.get_current_node_accelerator_type(),
            "visible": manager.get_current_process_visible_accelerator_ids(),
        }
    )
)
