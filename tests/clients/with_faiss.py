"""How many devices a build of faiss for CUDA 12 finds; it links libcudart.so.12 dynamically."""

import json

import faiss

print(json.dumps({"count": faiss.get_num_gpus()}))
