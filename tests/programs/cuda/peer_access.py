"""Access to a peer is enabled and disabled, and is gone with the peer's context."""

from client import call, code, show, use
from cuda.bindings import driver as D

call(D.cuInit, 0)
use(0)
peer = call(D.cuDevicePrimaryCtxRetain, 1)
own = call(D.cuCtxGetCurrent)


def enable():
    return code(D.cuCtxEnablePeerAccess, peer, 0)


show(
    [
        code(D.cuCtxDisablePeerAccess, peer),
        enable(),
        enable(),
        code(D.cuCtxDisablePeerAccess, peer),
        enable(),
        code(D.cuCtxEnablePeerAccess, peer, 1),
        code(D.cuCtxEnablePeerAccess, own, 0),
    ]
)
call(D.cuDevicePrimaryCtxRelease, 1)
gone = enable()
peer = call(D.cuDevicePrimaryCtxRetain, 1)
show([gone, enable()])
