"""A layer that goes to the second device and back, and numbers that go from one device to the other."""

import torch
from client import show

layer = torch.nn.Linear(1000, 300)
before = {name: value.clone() for name, value in layer.state_dict().items()}
layer.to("cuda:1")
show([str(value.device) for value in layer.state_dict().values()])
layer.cpu()
show(all(torch.equal(value, before[name]) for name, value in layer.state_dict().items()))
a = torch.arange(1000.0).to("cuda:1")
show(torch.equal(a.to("cuda:0").cpu(), torch.arange(1000.0)))
