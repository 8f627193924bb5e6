"""What dask-cuda finds before it starts its workers, and the mask that each of them would get."""

import json

from dask_cuda import utils

count = utils.get_gpu_count()
workers = utils.get_n_gpus()
print(
    json.dumps(
        {
            "count": count,
            "memory": [utils.get_device_total_memory(index) for index in range(count)],
            "mig": utils.get_gpu_count_mig(return_uuids=True)[1],
            "workers": workers,
        }
    )
)
