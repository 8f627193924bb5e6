"""The device and the last error of a thread, and of another one beside it."""

import threading

from client import call, code, get, show

show([code("cudaSetDevice", 9)] + [code(f"cuda{which}LastError") for which in ("PeekAt", "Get", "Get")])
show([get("cudaGetDevice"), code("cudaSetDevice", 3), get("cudaGetDevice")])
code("cudaSetDevice", 9)
there = []


def other():
    there.extend([code("cudaPeekAtLastError"), get("cudaGetDevice")])
    call("cudaSetDevice", 1)
    there.append(get("cudaGetDevice"))


thread = threading.Thread(target=other)
thread.start()
thread.join()
show([there, get("cudaGetDevice"), code("cudaGetLastError")])
