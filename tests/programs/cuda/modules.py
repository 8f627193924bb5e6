"""A module and its functions: what is said of them, and mistakes."""

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
module = call(driver.cuModuleLoadData, b"never read")
function = call(driver.cuModuleGetFunction, module, b"add")
A = driver.CUfunction_attribute
show(
    [
        int(function) == int(call(driver.cuModuleGetFunction, module, b"add")),
        int(function) == int(call(driver.cuModuleGetFunction, module, b"sub")),
        call(driver.cuFuncGetName, function).decode(),
        int(call(driver.cuFuncGetModule, function)) == int(module),
        call(driver.cuFuncGetAttribute, A.CU_FUNC_ATTRIBUTE_BINARY_VERSION, function),
        call(driver.cuOccupancyMaxActiveBlocksPerMultiprocessor, function, 256, 0),
    ]
)
show(
    [
        code(driver.cuModuleGetGlobal, module, b"variable"),
        code(driver.cuModuleGetFunction, module, b""),
        code(driver.cuModuleLoad, b"/nowhere/at/all"),
        code(driver.cuFuncSetAttribute, function, A.CU_FUNC_ATTRIBUTE_NUM_REGS, 1),
        code(driver.cuModuleUnload, module),
        code(driver.cuModuleUnload, module),
        code(driver.cuFuncGetName, function),
        code(driver.cuModuleGetFunction, module, b"add"),
    ]
)
