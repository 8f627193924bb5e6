"""A library, its kernel, and its modules in two contexts, until they are unloaded."""

from client import call, code, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
use(0)
library = call(driver.cuLibraryLoadData, b"never read", [], [], 0, [], [], 0)
kernel = call(driver.cuLibraryGetKernel, library, b"add")
first = call(driver.cuLibraryGetModule, library)
inside = call(driver.cuModuleGetFunction, first, b"add")
use(1)
second = call(driver.cuLibraryGetModule, library)
call(driver.cuDevicePrimaryCtxRelease, 1)  # takes the second module
use(0)
show(
    [
        int(first) != int(second),
        code(driver.cuModuleGetFunction, second, b"add"),
        call(driver.cuKernelGetName, kernel).decode(),
        int(call(driver.cuKernelGetLibrary, kernel)) == int(library),
        code(driver.cuFuncGetAttribute, driver.CUfunction_attribute(0), call(driver.cuKernelGetFunction, kernel)),
        code(driver.cuLibraryGetGlobal, library, b"variable"),
        code(driver.cuModuleUnload, first),
    ]
)
call(driver.cuLibraryUnload, library)
show(
    [
        code(driver.cuKernelGetName, kernel),
        code(driver.cuFuncGetName, inside),
        code(driver.cuModuleGetFunction, first, b"add"),
        code(driver.cuLibraryUnload, library),
    ]
)
