"""Products of matrices on both devices, and of vectors."""

import torch
from client import error, show

first, second = torch.nn.Linear(8, 16).to("cuda:1"), torch.nn.Linear(16, 4).to("cuda:0")
result = second(first(torch.empty(3, 8, device="cuda:1")).to("cuda:0"))
batches = torch.bmm(torch.empty(2, 3, 4, device="cuda:1"), torch.empty(2, 4, 5, device="cuda:1"))
half = torch.empty(4, 4, device="cuda:0", dtype=torch.float16)
show([list(result.cpu().shape), list(batches.cpu().shape), list((half @ half).cpu().shape)])
vector = torch.empty(4, device="cuda:0")
show(error(lambda: torch.dot(vector, vector)))
