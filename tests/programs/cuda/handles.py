"""Memory that is mapped twice, released, retained and unmapped: how much of it is left at each step."""

from client import call, code, show
from cuda.bindings import driver as D
from memory import free, mapped, properties, read, write

all_of_it, size = free(), 1 << 30
handle = call(D.cuMemCreate, size, properties(), 0)
left = [all_of_it - free()]
one, other = mapped(size, handle), mapped(size, handle)
call(D.cuMemRelease, handle)
left.append(all_of_it - free())
again = code(D.cuMemRelease, handle)
write(one, b"shared")
show([read(other, 6) == b"shared", again])
kept = call(D.cuMemRetainAllocationHandle, one + 5)
show(int(call(D.cuMemGetAllocationPropertiesFromHandle, kept).location.id))
for pointer in (one, other):
    call(D.cuMemUnmap, pointer, size)
    call(D.cuMemAddressFree, pointer, size)
left.append(all_of_it - free())
call(D.cuMemRelease, kept)
left.append(all_of_it - free())
show(left)
