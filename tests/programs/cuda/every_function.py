"""Calls every function of the header that the library has, with nothing, at three stages."""

import ctypes

from client import call, cuda, show, use
from cuda.bindings import driver

# Those come from other headers, for graphics.
foreign = ("GL", "EGL", "Egl", "VDPAU", "ProfilerInitialize")
names = [name for name in dir(driver) if name.startswith("cu") and name[2].isupper()]
names = [name for name in names if not any(word in name for word in foreign)]
missing = [name for name in names if not hasattr(cuda, name)]
abis = [version + thread for version in ("", "_v2", "_v3", "_v4") for thread in ("", "_ptds", "_ptsz")]
variants = [name + abi for name in names for abi in abis]
functions = [getattr(cuda, name) for name in variants if hasattr(cuda, name)]


def call_all():
    for function in functions:
        if function.__name__ not in ("cuInit",):
            function(*[ctypes.c_void_p(0)] * 14)


call_all()
call(driver.cuInit, 0)
call_all()
use(0)
call_all()
show([missing, len(names) > 400, len(functions) > 600])
