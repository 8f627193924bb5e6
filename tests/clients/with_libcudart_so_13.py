"""NVIDIA's CUDA runtime of CUDA 13."""

from nvidia_cudart import load, show

show(load("nvidia-cuda-runtime", "libcudart.so.13"))
