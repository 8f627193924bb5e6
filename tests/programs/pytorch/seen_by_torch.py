"""What torch shows to a process, and torch made to hold it: for tests in pytest's own process."""

import torch


def uuids():
    """As the fixtures have them, in the order of cuda:0, cuda:1 and so on."""
    return [f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in range(torch.cuda.device_count())]


def hold(device=0):
    """Memory on cuda:<device>; released when nobody refers to it, except that torch keeps its pool and its context."""
    return torch.empty(1 << 20, dtype=torch.uint8, device=f"cuda:{device}")


def holding():
    """What torch shows, once it has memory on the first of it."""
    hold()
    return uuids()
