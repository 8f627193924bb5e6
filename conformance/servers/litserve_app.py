"""The application under test on LitServe: what a user of LitServe would write, and no part of LitServe.

    python litserve_app.py --devices 2 --port 8000

LitServe starts one worker for each device and passes it the device's name; which GPU that is, is LitServe's decision.
"""

from __future__ import annotations

import argparse
from typing import Any

import litserve
from model_on_gpu import ModelOnGpu


class Reverse(litserve.LitAPI):
    """Loads the stand-in model on the device that LitServe names."""

    def setup(self, device: str) -> None:
        self.model = ModelOnGpu(int(device.removeprefix("cuda:")))

    def decode_request(self, request: dict[str, str]) -> str:
        return request["prompt"]

    def predict(self, prompt: str) -> dict[str, object]:
        return self.model.answer(prompt)

    def encode_response(self, output: dict[str, object]) -> dict[str, Any]:
        return output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--devices", type=int, default=1, help="how many GPUs, each with a worker of its own")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    server = litserve.LitServer(Reverse(), accelerator="cuda", devices=options.devices)
    server.run(host="127.0.0.1", port=options.port, generate_client_file=False)


if __name__ == "__main__":
    main()
