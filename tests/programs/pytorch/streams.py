"""A copy in a stream of its own, an event after it, pinned memory, and what the cache gives back."""

import torch
from client import show

stream, event = torch.cuda.Stream("cuda:1"), torch.cuda.Event(enable_timing=True)
pinned = torch.arange(1000.0).pin_memory()
with torch.cuda.stream(stream):
    there = pinned.to("cuda:1", non_blocking=True)
    event.record(stream)
event.synchronize()
show([pinned.is_pinned(), event.query(), stream.query(), torch.equal(there.cpu(), pinned)])
torch.cuda.synchronize(1)
free, total = torch.cuda.mem_get_info(1)
reserved = torch.cuda.memory_reserved(1)
del there
torch.cuda.empty_cache()
show([total - free - reserved, torch.cuda.mem_get_info(1)[0] - free == reserved > 0])
