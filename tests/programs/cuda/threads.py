"""Eight threads allocate, write, read and free, on two devices."""

import threading

from client import call, show, use
from cuda.bindings import driver

call(driver.cuInit, 0)
wrong = []


def work(number):
    use(number % 2)
    for _ in range(200):
        pointer = call(driver.cuMemAlloc, 4096)
        call(driver.cuMemsetD8, pointer, number, 4096)
        back = bytearray(4096)
        call(driver.cuMemcpyDtoH, back, pointer, 4096)
        if back != bytes([number]) * 4096:
            wrong.append(number)
        call(driver.cuMemFree, pointer)


threads = [threading.Thread(target=work, args=[i]) for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
use(0)
show([wrong, call(driver.cuMemGetInfo)[0]])
