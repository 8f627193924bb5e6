"""NVIDIA's CUDA runtime of CUDA 12."""

from nvidia_cudart import load, show

show(load("nvidia-cuda-runtime-cu12", "libcudart.so.12"), "cudaGetDeviceProperties_v2")
