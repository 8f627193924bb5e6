/* Device memory: pages of the host, committed only when written, whose addresses serve as device pointers.
 *
 * What a device has of memory is shared by all processes of the machine; allocating more of it than is left fails. Any
 * pointer into memory that was allocated here is checked against the allocation's bounds; other pointers are the host's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda_internal.h"

enum kind { DEVICE, MANAGED, HOST, REGISTERED };

struct block {
    uintptr_t start;
    size_t size;
    enum kind kind;
    unsigned flags;
    CUcontext context; /* HOST and REGISTERED: the one current at the time */
    unsigned long long id;
};

/* All blocks, by address. Under gv_cuda_lock. */
static struct block *blocks;
static size_t block_count, block_room;
static unsigned long long last_id;

/* ---- the table ---- */

/* Where the first block beyond `address` is. */
static size_t position_after(uintptr_t address)
{
    size_t low = 0, high = block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (blocks[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct block *find_block(uintptr_t address)
{
    size_t after = position_after(address);
    struct block *block = after ? &blocks[after - 1] : NULL;
    return block && address - block->start < block->size ? block : NULL;
}

static bool insert_block(struct block block)
{
    if (block_count == block_room) {
        size_t room = block_room ? 2 * block_room : 64;
        struct block *grown = realloc(blocks, room * sizeof *grown);
        if (!grown)
            return false;
        blocks = grown;
        block_room = room;
    }
    size_t position = position_after(block.start);
    memmove(&blocks[position + 1], &blocks[position], (block_count - position) * sizeof *blocks);
    block.id = ++last_id;
    blocks[position] = block;
    block_count++;
    return true;
}

/* Gives a block's memory back; the table is the caller's to mend. */
static void free_block(const struct block *block)
{
    if (block->kind != REGISTERED)
        munmap((void *)block->start, block->size);
    if (block->kind == DEVICE || block->kind == MANAGED)
        gv_give_memory(gv_driver.state, block->context->unit, block->size);
}

static void remove_block(struct block *block)
{
    free_block(block);
    size_t position = (size_t)(block - blocks);
    memmove(block, block + 1, (--block_count - position) * sizeof *blocks);
}

void gv_forget_memory(CUcontext context)
{
    size_t kept = 0;
    for (size_t i = 0; i < block_count; i++) {
        if (blocks[i].context == context)
            free_block(&blocks[i]);
        else
            blocks[kept++] = blocks[i];
    }
    block_count = kept;
}

/* ---- allocating ---- */

static CUresult allocate(CUcontext context, enum kind kind, size_t size, unsigned flags, void **address)
{
    bool on_device = kind == DEVICE || kind == MANAGED;
    if (on_device && gv_take_memory(gv_driver.state, context->unit, size))
        return CUDA_ERROR_OUT_OF_MEMORY;
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct block block = {(uintptr_t)pages, size, kind, flags, context, 0};
    if (pages != MAP_FAILED && insert_block(block)) {
        *address = pages;
        return CUDA_SUCCESS;
    }
    if (pages != MAP_FAILED)
        munmap(pages, size);
    if (on_device)
        gv_give_memory(gv_driver.state, context->unit, size);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult allocate_on_device(CUcontext context, enum kind kind, size_t size, unsigned flags, CUdeviceptr *pointer)
{
    void *address = NULL;
    pthread_mutex_lock(&gv_cuda_lock);
    CUresult result = allocate(context, kind, size, flags, &address);
    pthread_mutex_unlock(&gv_cuda_lock);
    gv_cuda_record("alloc", NULL, context->unit, result, size);
    if (result == CUDA_SUCCESS)
        *pointer = (CUdeviceptr)(uintptr_t)address;
    return result;
}

CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t size)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(pointer && size);
    return allocate_on_device(context, DEVICE, size, 0, pointer);
}

CUresult cuMemAllocManaged(CUdeviceptr *pointer, size_t size, unsigned int flags)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(pointer && size && (flags == CU_MEM_ATTACH_GLOBAL || flags == CU_MEM_ATTACH_HOST));
    return allocate_on_device(context, MANAGED, size, flags, pointer);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height, unsigned int element)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(pointer && pitch && width && height && (element == 4 || element == 8 || element == 16));
    size_t row, size;
    REQUIRE_VALUE(!__builtin_add_overflow(width, (size_t)511, &row));
    row &= ~(size_t)511;
    REQUIRE(!__builtin_mul_overflow(row, height, &size), CUDA_ERROR_OUT_OF_MEMORY);
    CUresult result = allocate_on_device(context, DEVICE, size, 0, pointer);
    if (result == CUDA_SUCCESS)
        *pitch = row;
    return result;
}

CUresult cuMemFree_v2(CUdeviceptr pointer)
{
    REQUIRE_READY();
    if (!pointer)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&gv_cuda_lock);
    struct block *block = find_block((uintptr_t)pointer);
    bool found = block && block->start == pointer && (block->kind == DEVICE || block->kind == MANAGED);
    if (found)
        remove_block(block);
    pthread_mutex_unlock(&gv_cuda_lock);
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t size, CUstream stream)
{
    (void)stream;
    return cuMemAlloc_v2(pointer, size);
}
PER_THREAD(cuMemAllocAsync, _ptsz);

CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream)
{
    (void)stream;
    return cuMemFree_v2(pointer);
}
PER_THREAD(cuMemFreeAsync, _ptsz);

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(free_bytes && total);
    uint64_t memory = gv_driver.state->unit[context->unit].memory, used = gv_unit_used(gv_driver.state, context->unit);
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
    pthread_mutex_lock(&gv_cuda_lock);
    CUresult result = allocate(context, HOST, size, flags, address);
    pthread_mutex_unlock(&gv_cuda_lock);
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

static CUresult remove_host_block(const void *address, enum kind kind, CUresult otherwise)
{
    REQUIRE_READY();
    REQUIRE_VALUE(address);
    pthread_mutex_lock(&gv_cuda_lock);
    struct block *block = find_block((uintptr_t)address);
    bool found = block && block->start == (uintptr_t)address && block->kind == kind;
    if (found)
        remove_block(block);
    pthread_mutex_unlock(&gv_cuda_lock);
    return found ? CUDA_SUCCESS : otherwise;
}

CUresult cuMemFreeHost(void *address)
{
    return remove_host_block(address, HOST, CUDA_ERROR_INVALID_VALUE);
}

/* Under the lock: whether a block begins in, or reaches into, the range. */
static bool overlaps_block(uintptr_t start, size_t size)
{
    size_t after = position_after(start);
    return find_block(start) || (after < block_count && blocks[after].start - start < size);
}

CUresult cuMemHostRegister_v2(void *address, size_t size, unsigned int flags)
{
    const unsigned known = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_READ_ONLY;
    REQUIRE_CONTEXT(context);
    REQUIRE(!(flags & CU_MEMHOSTREGISTER_IOMEMORY), CUDA_ERROR_NOT_SUPPORTED);
    REQUIRE_VALUE(address && size && !(flags & ~known) && (uintptr_t)address + size > (uintptr_t)address);
    struct block block = {(uintptr_t)address, size, REGISTERED, flags, context, 0};
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&gv_cuda_lock);
    if (overlaps_block(block.start, size))
        result = CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    else if (!insert_block(block))
        result = CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_unlock(&gv_cuda_lock);
    return result;
}

CUresult cuMemHostRegister(void *address, size_t size, unsigned int flags)
{
    return cuMemHostRegister_v2(address, size, flags);
}

CUresult cuMemHostUnregister(void *address)
{
    return remove_host_block(address, REGISTERED, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

/* A copy of the block that an address lies in. */
static bool look_up(uintptr_t address, struct block *copy)
{
    pthread_mutex_lock(&gv_cuda_lock);
    struct block *block = find_block(address);
    if (block)
        *copy = *block;
    pthread_mutex_unlock(&gv_cuda_lock);
    return block != NULL;
}

static bool is_host(const struct block *block)
{
    return block->kind == HOST || block->kind == REGISTERED;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *pointer, void *address, unsigned int flags)
{
    struct block block;
    REQUIRE_READY();
    REQUIRE_VALUE(pointer && flags == 0 && look_up((uintptr_t)address, &block) && is_host(&block));
    *pointer = (CUdeviceptr)(uintptr_t)address;
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned int *flags, void *address)
{
    struct block block;
    REQUIRE_READY();
    REQUIRE_VALUE(flags && look_up((uintptr_t)address, &block) && is_host(&block));
    *flags = block.flags;
    return CUDA_SUCCESS;
}

/* ---- what a pointer is ---- */

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr pointer)
{
    struct block block;
    REQUIRE_READY();
    REQUIRE(look_up((uintptr_t)pointer, &block) && !is_host(&block), CUDA_ERROR_NOT_FOUND);
    if (base)
        *base = block.start;
    if (size)
        *size = block.size;
    return CUDA_SUCCESS;
}

static CUresult pointer_attribute(void *data, CUpointer_attribute attribute, CUdeviceptr pointer,
                                  const struct block *block)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        *(CUcontext *)data = block->context;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned *)data = is_host(block) ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        *(CUdeviceptr *)data = pointer;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        REQUIRE_VALUE(block->kind != DEVICE);
        *(void **)data = (void *)(uintptr_t)pointer;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        *(unsigned long long *)data = block->id;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
        *(unsigned *)data = 0;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *(unsigned *)data = block->kind == MANAGED;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPED:
        *(unsigned *)data = 1;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)data = block->context->ordinal;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        *(CUdeviceptr *)data = block->start;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
        *(size_t *)data = block->size;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        *(unsigned long long *)data = 0;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        *(unsigned *)data = CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        *(CUmemoryPool *)data = NULL;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr pointer)
{
    struct block block;
    REQUIRE_READY();
    REQUIRE_VALUE(data && look_up((uintptr_t)pointer, &block));
    return pointer_attribute(data, attribute, pointer, &block);
}

/* A pointer that CUDA does not know is no error here: what is asked of it is 0. */
static void unknown_attribute(void *data, CUpointer_attribute attribute)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        *(void **)data = NULL;
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        *(unsigned long long *)data = 0;
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)data = -2; /* neither a device nor the host's NUMA nodes: what the driver says of plain memory */
        break;
    default:
        *(unsigned *)data = 0;
    }
}

CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute *attributes, void **data, CUdeviceptr pointer)
{
    struct block block;
    REQUIRE_READY();
    REQUIRE_VALUE(count && attributes && data);
    bool known = look_up((uintptr_t)pointer, &block);
    for (unsigned i = 0; i < count; i++) {
        REQUIRE_VALUE(data[i]);
        if (!known || pointer_attribute(data[i], attributes[i], pointer, &block) != CUDA_SUCCESS)
            unknown_attribute(data[i], attributes[i]);
    }
    return CUDA_SUCCESS;
}

/* ---- advice on managed memory: accepted, and of no effect ---- */

static CUresult check_managed(CUdeviceptr pointer, size_t size)
{
    struct block block;
    REQUIRE_READY();
    REQUIRE_VALUE(size && look_up((uintptr_t)pointer, &block) && block.kind == MANAGED);
    REQUIRE_VALUE(size <= block.start + block.size - (uintptr_t)pointer);
    return CUDA_SUCCESS;
}

CUresult cuMemAdvise(CUdeviceptr pointer, size_t size, CUmem_advise advice, CUdevice device)
{
    (void)advice, (void)device;
    return check_managed(pointer, size);
}

CUresult cuMemAdvise_v2(CUdeviceptr pointer, size_t size, CUmem_advise advice, CUmemLocation location)
{
    (void)advice, (void)location;
    return check_managed(pointer, size);
}

CUresult cuMemPrefetchAsync(CUdeviceptr pointer, size_t size, CUdevice device, CUstream stream)
{
    (void)device, (void)stream;
    return check_managed(pointer, size);
}
PER_THREAD(cuMemPrefetchAsync, _ptsz);

CUresult cuMemPrefetchAsync_v2(CUdeviceptr pointer, size_t size, CUmemLocation location, unsigned int flags,
                               CUstream stream)
{
    (void)location, (void)flags, (void)stream;
    return check_managed(pointer, size);
}
PER_THREAD(cuMemPrefetchAsync_v2, _ptsz);

/* ---- reaching memory, for the copies ---- */

void *gv_device_range(CUdeviceptr pointer, size_t size)
{
    struct block block;
    if (!look_up((uintptr_t)pointer, &block) || size > block.start + block.size - (uintptr_t)pointer)
        return NULL;
    return (void *)(uintptr_t)pointer;
}

void *gv_any_range(const void *address, size_t size)
{
    struct block block;
    if (!address || (look_up((uintptr_t)address, &block) && size > block.start + block.size - (uintptr_t)address))
        return NULL;
    return (void *)address;
}

void gv_zero_range(void *address, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct block block;
    uintptr_t start = (uintptr_t)address, end = start + size;
    uintptr_t first = (start + page - 1) & ~(page - 1), last = end & ~(page - 1);
    /* Whole pages of our own are given back instead of written: zeroing a whole GPU then takes no memory. */
    bool own = look_up(start, &block) && block.kind != REGISTERED;
    if (own && first < last && madvise((void *)first, last - first, MADV_DONTNEED) == 0) {
        memset(address, 0, first - start);
        memset((void *)last, 0, end - last);
    } else {
        memset(address, 0, size);
    }
}
