"""Two workers that put numbers on a device each; its own, or torchrun's."""

import os

import torch
import torch.multiprocessing


def work(rank):
    held = torch.arange(1000.0).to(f"cuda:{rank}")
    print(os.getpid(), rank, torch.equal(held.cpu(), torch.arange(1000.0)), flush=True)


if __name__ == "__main__":
    if "LOCAL_RANK" in os.environ:
        work(int(os.environ["LOCAL_RANK"]))
    else:
        torch.multiprocessing.spawn(work, nprocs=2)
