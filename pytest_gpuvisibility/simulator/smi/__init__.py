"""The simulated nvidia-smi: see ../nvidia_smi.py, which starts it."""
