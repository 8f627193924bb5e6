"""Launches a kernel a hundred times, then with no blocks, then after its module is unloaded."""

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
module = call(driver.cuModuleLoadData, b"never read")
function = call(driver.cuModuleGetFunction, module, b"add")


def launch(what, blocks=1):
    return code(driver.cuLaunchKernel, what, blocks, 1, 1, 32, 1, 1, 0, 0, 0, 0)


good = {launch(function) for _ in range(100)}
no_blocks = launch(function, 0)
call(driver.cuModuleUnload, module)
show([sorted(good), no_blocks, launch(function)])
