"""The devices as PyTorch describes them, and its error for one more."""

import torch
from client import error, show

show([torch.cuda.is_available(), torch.cuda.device_count()])
for i in range(torch.cuda.device_count()):
    properties = torch.cuda.get_device_properties(i)
    show(
        {
            "uuid": str(properties.uuid),
            "name": torch.cuda.get_device_name(i),
            "memory": properties.total_memory,
            "capability": list(torch.cuda.get_device_capability(i)),
            "multiprocessors": properties.multi_processor_count,
            "bus": [properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id],
        }
    )
show(error(lambda: torch.zeros(1).to(f"cuda:{torch.cuda.device_count()}")))
