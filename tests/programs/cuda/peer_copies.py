"""Copies from one device to another, whole and of a box."""

from client import call, code, show, use
from cuda.bindings import driver as D
from memory import read, write

own = call(D.cuCtxGetCurrent)
here = call(D.cuMemAlloc, 4096)
use(1)
peer = call(D.cuCtxGetCurrent)
there = call(D.cuMemAlloc, 4096)
write(here, bytes(range(64)) * 64)
call(D.cuMemcpyPeer, there, peer, here, own, 4096)
whole = read(there, 4096) == bytes(range(64)) * 64
box = D.CUDA_MEMCPY3D_PEER()
box.srcMemoryType = box.dstMemoryType = D.CUmemorytype.CU_MEMORYTYPE_DEVICE
box.srcDevice, box.srcContext, box.srcPitch, box.srcHeight, box.srcXInBytes = here, own, 64, 64, 60
box.dstDevice, box.dstContext, box.dstPitch, box.dstHeight = there, peer, 64, 64
box.WidthInBytes, box.Height, box.Depth = 4, 2, 1
call(D.cuMemcpy3DPeer, box)
show(
    [
        whole,
        list(read(there, 4)),
        list(read(int(there) + 64, 6)),
        code(D.cuMemcpyPeer, there, D.CUcontext(0), here, own, 4096),
        code(D.cuMemcpyPeer, there, peer, here, own, 4097),
    ]
)
