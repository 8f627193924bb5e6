"""Simulated machines: an inventory behind a simulated NVIDIA driver, so that unmodified programs find it."""
