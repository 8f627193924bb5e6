/* Virtual memory management: addresses are reserved, memory (cuda_physical.c) is mapped there, and devices are given
 * access to what is mapped. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda_memory.h"

/* ---- addresses ---- */

struct reservation {
    struct reservation *next;
    uintptr_t start;
    size_t size;
};

static struct reservation *reservations; /* under GV_LOCK_CUDA */

static struct reservation *find_reservation(uintptr_t start, size_t size)
{
    for (struct reservation *found = reservations; found; found = found->next)
        if (start >= found->start && size <= found->size && start - found->start <= found->size - size)
            return found;
    return NULL;
}

bool gv_is_reserved(uintptr_t address)
{
    return find_reservation(address, 1) != NULL;
}

/* Addresses that lead nowhere, the first one a multiple of `alignment`. */
static void *reserve(size_t size, size_t alignment, CUdeviceptr hint)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    size_t room;
    if (__builtin_add_overflow(size, alignment, &room))
        return NULL;
    char *start = mmap((void *)(uintptr_t)hint, room, PROT_NONE, flags, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    size_t before = (alignment - (uintptr_t)start % alignment) % alignment;
    if (before)
        munmap(start, before);
    munmap(start + before + size, alignment - before);
    return start + before;
}

CUresult cuMemAddressReserve(CUdeviceptr *pointer, size_t size, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    REQUIRE_READY();
    REQUIRE_VALUE(pointer && size && size % page == 0 && hint % page == 0 && !flags);
    REQUIRE_VALUE(!(alignment & (alignment - 1)));
    struct reservation *made = malloc(sizeof *made);
    REQUIRE(made, CUDA_ERROR_OUT_OF_MEMORY);
    void *start = reserve(size, alignment > GV_GRANULARITY ? alignment : GV_GRANULARITY, hint);
    if (!start) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    gv_lock(GV_LOCK_CUDA);
    *made = (struct reservation){reservations, (uintptr_t)start, size};
    reservations = made;
    gv_unlock(GV_LOCK_CUDA);
    *pointer = (CUdeviceptr)(uintptr_t)start;
    return CUDA_SUCCESS;
}

CUresult cuMemAddressFree(CUdeviceptr pointer, size_t size)
{
    REQUIRE_READY();
    REQUIRE_VALUE(pointer && size);
    gv_lock(GV_LOCK_CUDA);
    struct reservation **link = &reservations, *found;
    while (*link && ((*link)->start != pointer || (*link)->size != size))
        link = &(*link)->next;
    if ((found = *link) && gv_block_overlaps(found->start, found->size))
        found = NULL; /* something is still mapped there */
    if (found) {
        *link = found->next;
        munmap((void *)found->start, found->size);
    }
    gv_unlock(GV_LOCK_CUDA);
    free(found);
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- mapping ---- */

/* Under the lock. */
static CUresult map(CUdeviceptr pointer, size_t size, CUmemGenericAllocationHandle handle)
{
    struct gv_physical *physical = gv_physical_find(handle);
    REQUIRE_VALUE(physical && size <= physical->size);
    REQUIRE_VALUE(find_reservation((uintptr_t)pointer, size) && !gv_block_overlaps((uintptr_t)pointer, size));
    struct gv_block block = {
        .start = (uintptr_t)pointer,
        .size = size,
        .kind = GV_MAPPED,
        .ordinal = physical->ordinal,
        .unit = physical->unit,
        .state = physical->state,
        .physical = physical,
        .origin = {.file = -1},
    };
    /* An old size of 0 makes a second mapping of shared pages. */
    REQUIRE(mremap(physical->pages, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)block.start) != MAP_FAILED,
            CUDA_ERROR_OUT_OF_MEMORY);
    physical->mappings++;
    if (gv_block_insert(block))
        return CUDA_SUCCESS;
    physical->mappings--;
    mmap((void *)block.start, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemMap(CUdeviceptr pointer, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    REQUIRE_READY();
    REQUIRE_VALUE(pointer && pointer % GV_GRANULARITY == 0 && size && size % GV_GRANULARITY == 0 && !offset && !flags);
    gv_lock(GV_LOCK_CUDA);
    CUresult result = map(pointer, size, handle);
    gv_unlock(GV_LOCK_CUDA);
    return result;
}

/* Under the lock: whether the range is made of whole mappings, side by side. */
static bool is_mapped(uintptr_t start, size_t size)
{
    while (size) {
        const struct gv_block *block = gv_block_find(start);
        if (!block || block->kind != GV_MAPPED || block->start != start || block->size > size)
            return false;
        start += block->size;
        size -= block->size;
    }
    return true;
}

CUresult cuMemUnmap(CUdeviceptr pointer, size_t size)
{
    REQUIRE_READY();
    REQUIRE_VALUE(pointer && size);
    uintptr_t start = (uintptr_t)pointer, end = start + size;
    gv_lock(GV_LOCK_CUDA);
    bool mapped = is_mapped(start, size);
    while (mapped && start < end) {
        struct gv_block *block = gv_block_find(start);
        start += block->size;
        gv_block_remove(block);
    }
    gv_unlock(GV_LOCK_CUDA);
    return mapped ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address)
{
    REQUIRE_READY();
    REQUIRE_VALUE(handle && address);
    gv_lock(GV_LOCK_CUDA);
    struct gv_block *block = gv_block_find((uintptr_t)address);
    bool found = block && block->kind == GV_MAPPED;
    if (found) {
        block->physical->handles++;
        *handle = (CUmemGenericAllocationHandle)(uintptr_t)block->physical->handle;
    }
    gv_unlock(GV_LOCK_CUDA);
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- access ---- */

static bool is_access(CUmemAccess_flags flags)
{
    return flags == CU_MEM_ACCESS_FLAGS_PROT_NONE || flags == CU_MEM_ACCESS_FLAGS_PROT_READ ||
           flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
}

static CUresult check_access(const struct gv_block *block, const CUmemAccessDesc *access, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        REQUIRE_VALUE(is_access(access[i].flags) && access[i].location.type == CU_MEM_LOCATION_TYPE_DEVICE);
        REQUIRE_DEVICE(access[i].location.id);
        int unit = gv_driver.unit[access[i].location.id];
        REQUIRE(unit == block->unit || gv_can_access(unit, block->unit), CUDA_ERROR_INVALID_DEVICE);
    }
    return CUDA_SUCCESS;
}

/* Under the lock. All of the range, or nothing of it. */
static CUresult set_access(uintptr_t start, size_t size, const CUmemAccessDesc *access, size_t count)
{
    REQUIRE_VALUE(is_mapped(start, size));
    for (uintptr_t at = start; at < start + size; at += gv_block_find(at)->size) {
        CUresult result = check_access(gv_block_find(at), access, count);
        REQUIRE(result == CUDA_SUCCESS, result);
    }
    for (uintptr_t at = start; at < start + size;) {
        struct gv_block *block = gv_block_find(at);
        for (size_t i = 0; i < count; i++) {
            int ordinal = access[i].location.id;
            gv_devices_set(&block->readable, ordinal, access[i].flags & CU_MEM_ACCESS_FLAGS_PROT_READ);
            gv_devices_set(&block->writable, ordinal, access[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
            if (gv_driver.unit[ordinal] != block->unit && access[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE)
                gv_cuda_record_peer("cuMemSetAccess", gv_driver.unit[ordinal]);
        }
        at += block->size;
    }
    return CUDA_SUCCESS;
}

CUresult cuMemSetAccess(CUdeviceptr pointer, size_t size, const CUmemAccessDesc *access, size_t count)
{
    REQUIRE_READY();
    REQUIRE_VALUE(pointer && size && access && count);
    gv_lock(GV_LOCK_CUDA);
    CUresult result = set_access((uintptr_t)pointer, size, access, count);
    gv_unlock(GV_LOCK_CUDA);
    return result;
}

CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location, CUdeviceptr pointer)
{
    struct gv_block block;
    REQUIRE_READY();
    REQUIRE_VALUE(flags && location && location->type == CU_MEM_LOCATION_TYPE_DEVICE);
    REQUIRE_DEVICE(location->id);
    REQUIRE_VALUE(gv_look_up((uintptr_t)pointer, &block) && block.kind == GV_MAPPED);
    *flags = gv_devices_has(&block.writable, location->id)   ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
             : gv_devices_has(&block.readable, location->id) ? CU_MEM_ACCESS_FLAGS_PROT_READ
                                                             : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
}
