/* Memory: pages of the host, committed only when written, whose addresses serve as device pointers.
 *
 * What a device has of memory is shared by all processes of the machine; allocating more of it than is left fails. Any
 * pointer into memory that was allocated here is checked against the allocation's bounds; other pointers are the host's. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda_memory.h"

/* ---- allocating ---- */

static void *new_pages(struct gv_block *block)
{
    if (gv_is_shared(block->kind))
        return gv_pages_new(block->size, &block->origin);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *pages = mmap(NULL, block->size, PROT_READ | PROT_WRITE, flags, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

/* Under the lock. The block has everything but its address. */
static CUresult allocate(struct gv_block *block)
{
    int error = block->pool           ? gv_pool_take(block->pool, block->size)
                : gv_counts(block->kind) ? gv_take_memory(block->state, block->unit, block->size)
                                      : 0;
    REQUIRE(!error, CUDA_ERROR_OUT_OF_MEMORY);
    void *pages = new_pages(block);
    block->start = (uintptr_t)pages;
    if (pages && gv_block_insert(*block))
        return CUDA_SUCCESS;
    if (pages)
        munmap(pages, block->size);
    gv_block_give_back(block);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static struct gv_block new_block(CUcontext context, enum gv_memory_kind kind, size_t size, unsigned flags)
{
    return (struct gv_block){
        .size = size,
        .kind = kind,
        .flags = flags,
        .context = context,
        .ordinal = context->ordinal,
        .unit = context->unit,
        .state = gv_driver.state,
        .origin = {.file = -1},
    };
}

CUresult gv_allocate(CUcontext context, enum gv_memory_kind kind, size_t size, unsigned flags, struct gv_pool *pool,
                     CUdeviceptr *pointer)
{
    struct gv_block block = new_block(context, kind, size, flags);
    if (pool) {
        block.pool = pool;
        block.ordinal = gv_pool_ordinal(pool);
        block.unit = gv_driver.unit[block.ordinal];
    }
    gv_lock(GV_LOCK_CUDA);
    CUresult result = allocate(&block);
    gv_unlock(GV_LOCK_CUDA);
    gv_cuda_record(GV_EVENT_ALLOC, NULL, block.unit, result, size);
    if (result == CUDA_SUCCESS)
        *pointer = block.start;
    return result;
}

bool gv_free(CUdeviceptr pointer)
{
    gv_lock(GV_LOCK_CUDA);
    struct gv_block *block = gv_block_find((uintptr_t)pointer);
    bool found = block && block->start == pointer && gv_counts(block->kind);
    if (found)
        gv_block_remove(block);
    gv_unlock(GV_LOCK_CUDA);
    return found;
}

CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t size)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(pointer && size);
    return gv_allocate(context, GV_DEVICE, size, 0, NULL, pointer);
}

CUresult cuMemAllocManaged(CUdeviceptr *pointer, size_t size, unsigned int flags)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(pointer && size && (flags == CU_MEM_ATTACH_GLOBAL || flags == CU_MEM_ATTACH_HOST));
    return gv_allocate(context, GV_MANAGED, size, flags, NULL, pointer);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height, unsigned int element)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(pointer && pitch && width && height && (element == 4 || element == 8 || element == 16));
    size_t row, size;
    REQUIRE_VALUE(!__builtin_add_overflow(width, (size_t)511, &row));
    row &= ~(size_t)511;
    REQUIRE(!__builtin_mul_overflow(row, height, &size), CUDA_ERROR_OUT_OF_MEMORY);
    CUresult result = gv_allocate(context, GV_DEVICE, size, 0, NULL, pointer);
    if (result == CUDA_SUCCESS)
        *pitch = row;
    return result;
}

CUresult cuMemFree_v2(CUdeviceptr pointer)
{
    REQUIRE_READY();
    return !pointer || gv_free(pointer) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(free_bytes && total);
    uint64_t memory = gv_driver.state->unit[context->unit].memory, used = gv_memory_used(gv_driver.state, context->unit);
    *free_bytes = used < memory ? memory - used : 0;
    *total = memory;
    return CUDA_SUCCESS;
}

/* ---- the host's memory ---- */

CUresult cuMemHostAlloc(void **address, size_t size, unsigned int flags)
{
    const unsigned known = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(address && size && !(flags & ~known));
    struct gv_block block = new_block(context, GV_HOST, size, flags);
    gv_lock(GV_LOCK_CUDA);
    CUresult result = allocate(&block);
    gv_unlock(GV_LOCK_CUDA);
    if (result == CUDA_SUCCESS)
        *address = (void *)block.start;
    return result;
}

CUresult cuMemAllocHost_v2(void **address, size_t size)
{
    return cuMemHostAlloc(address, size, 0);
}

CUresult cuMemAllocHost(void **address, unsigned int size)
{
    return cuMemHostAlloc(address, size, 0);
}

static CUresult remove_host_block(const void *address, enum gv_memory_kind kind, CUresult otherwise)
{
    REQUIRE_READY();
    REQUIRE_VALUE(address);
    gv_lock(GV_LOCK_CUDA);
    struct gv_block *block = gv_block_find((uintptr_t)address);
    bool found = block && block->start == (uintptr_t)address && block->kind == kind;
    if (found)
        gv_block_remove(block);
    gv_unlock(GV_LOCK_CUDA);
    return found ? CUDA_SUCCESS : otherwise;
}

CUresult cuMemFreeHost(void *address)
{
    return remove_host_block(address, GV_HOST, CUDA_ERROR_INVALID_VALUE);
}

CUresult cuMemHostRegister_v2(void *address, size_t size, unsigned int flags)
{
    const unsigned known = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_READ_ONLY;
    REQUIRE_CONTEXT(context);
    REQUIRE(!(flags & CU_MEMHOSTREGISTER_IOMEMORY), CUDA_ERROR_NOT_SUPPORTED);
    REQUIRE_VALUE(address && size && !(flags & ~known) && (uintptr_t)address + size > (uintptr_t)address);
    struct gv_block block = new_block(context, GV_REGISTERED, size, flags);
    block.start = (uintptr_t)address;
    CUresult result = CUDA_SUCCESS;
    gv_lock(GV_LOCK_CUDA);
    if (gv_block_overlaps(block.start, size))
        result = CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    else if (!gv_block_insert(block))
        result = CUDA_ERROR_OUT_OF_MEMORY;
    gv_unlock(GV_LOCK_CUDA);
    return result;
}
SAME_AS(cuMemHostRegister, cuMemHostRegister_v2);

CUresult cuMemHostUnregister(void *address)
{
    return remove_host_block(address, GV_REGISTERED, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

static bool is_host(const struct gv_block *block)
{
    return block->kind == GV_HOST || block->kind == GV_REGISTERED;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *pointer, void *address, unsigned int flags)
{
    struct gv_block block;
    REQUIRE_READY();
    REQUIRE_VALUE(pointer && flags == 0 && gv_look_up((uintptr_t)address, &block) && is_host(&block));
    *pointer = (CUdeviceptr)(uintptr_t)address;
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned int *flags, void *address)
{
    struct gv_block block;
    REQUIRE_READY();
    REQUIRE_VALUE(flags && gv_look_up((uintptr_t)address, &block) && is_host(&block));
    *flags = block.flags;
    return CUDA_SUCCESS;
}

/* ---- reaching memory, for the copies ---- */

static bool may_access(const struct gv_block *block, enum gv_access access)
{
    return block->kind != GV_MAPPED || gv_devices_any(access == GV_WRITES ? &block->writable : &block->readable);
}

/* Under the lock. One range may lie in several mappings, side by side, but in only one allocation of any other kind. */
static bool covers(const struct gv_block *block, uintptr_t address, size_t size, enum gv_access access)
{
    while (block && may_access(block, access)) {
        size_t rest = block->start + block->size - address;
        if (size <= rest)
            return true;
        if (block->kind != GV_MAPPED)
            return false;
        address += rest;
        size -= rest;
        block = gv_block_find(address);
        if (block && block->kind != GV_MAPPED)
            return false;
    }
    return false;
}

void *gv_device_range(CUdeviceptr pointer, size_t size, enum gv_access access)
{
    gv_lock(GV_LOCK_CUDA);
    bool inside = covers(gv_block_find((uintptr_t)pointer), (uintptr_t)pointer, size, access);
    gv_unlock(GV_LOCK_CUDA);
    return inside ? (void *)(uintptr_t)pointer : NULL;
}

void *gv_any_range(const void *address, size_t size, enum gv_access access)
{
    gv_lock(GV_LOCK_CUDA);
    const struct gv_block *block = gv_block_find((uintptr_t)address);
    bool usable = block ? covers(block, (uintptr_t)address, size, access) : !gv_is_reserved((uintptr_t)address);
    gv_unlock(GV_LOCK_CUDA);
    return usable ? (void *)address : NULL;
}

void gv_zero_range(void *address, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct gv_block block;
    uintptr_t start = (uintptr_t)address, end = start + size;
    uintptr_t first = (start + page - 1) & ~(page - 1), last = end & ~(page - 1);
    /* Whole pages of our own are given back instead of written: zeroing a whole GPU then takes no memory. */
    bool own = gv_look_up(start, &block) && block.kind != GV_REGISTERED && first < last;
    if (own && madvise((void *)first, last - first, gv_is_shared(block.kind) ? MADV_REMOVE : MADV_DONTNEED) == 0) {
        memset(address, 0, first - start);
        memset((void *)last, 0, end - last);
    } else {
        memset(address, 0, size);
    }
}
