"""The application under test on Ray Serve: what a user of Ray Serve would write, and no part of Ray.

    python ray_serve_app.py --replicas 2 --devices 1 --port 8000

Ray starts the replicas and gives each its GPUs by CUDA_VISIBLE_DEVICES; which GPUs those are, is Ray's decision.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile

import ray
from model_on_gpu import ModelOnGpu
from ray import serve
from starlette.requests import Request


@serve.deployment
class Reverse:
    """Loads the stand-in model on every GPU that Ray has given to this replica."""

    def __init__(self) -> None:
        self.models = [ModelOnGpu(ordinal) for ordinal in range(len(ray.get_gpu_ids()))]

    async def __call__(self, request: Request) -> dict[str, object]:
        prompt = (await request.json())["prompt"]
        return {"answers": [model.answer(prompt) for model in self.models]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--devices", type=int, default=1, help="GPUs of each replica")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    # Ray counts the GPUs. It would count 2 cores as room for 2 replicas, and take 30 % of the memory for objects.
    ray.init(
        num_cpus=options.replicas + 2,
        object_store_memory=80 << 20,
        include_dashboard=False,
        _temp_dir=os.path.join(tempfile.gettempdir(), "ray"),
    )
    serve.start(http_options={"host": "127.0.0.1", "port": options.port})
    deployment = Reverse.options(num_replicas=options.replicas, ray_actor_options={"num_gpus": options.devices})
    serve.run(deployment.bind(), name="reverse", route_prefix="/")
    print("all replicas are ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
