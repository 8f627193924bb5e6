/* Memory pools. What a pool keeps without using it is only counted: pages are not kept. */
#include <errno.h>
#include <stdlib.h>

#include "cuda_memory.h"

struct gv_pool {
    struct gv_handle *handle;
    struct gv_state *state;
    int ordinal;
    bool is_default, destroyed; /* destroyed: goes with its last allocation */
    int reuse[3];               /* from CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES on */
    uint64_t limit;             /* 0: none but the device's */
    uint64_t threshold, reserved, reserved_high, used, used_high;
    struct gv_devices readable, writable;
};

/* Of the machine `pools_of`, by ordinal; made when first asked for. Under GV_LOCK_CUDA. */
static struct gv_state *pools_of;
static struct gv_pool *default_pool[GV_MAX_UNITS], *current_pool[GV_MAX_UNITS];

/* ---- what a pool has ---- */

int gv_pool_ordinal(const struct gv_pool *pool)
{
    return pool->ordinal;
}

CUmemoryPool gv_pool_handle(const struct gv_pool *pool)
{
    return (CUmemoryPool)pool->handle;
}

/* Whatever is neither used nor to be kept goes back to the device. */
static void shrink(struct gv_pool *pool, uint64_t keep)
{
    uint64_t wanted = keep > pool->used ? keep : pool->used;
    if (wanted >= pool->reserved)
        return;
    if (pool->state == gv_driver.state)
        gv_give_memory(pool->state, gv_driver.unit[pool->ordinal], pool->reserved - wanted);
    pool->reserved = wanted;
}

int gv_pool_take(struct gv_pool *pool, size_t size)
{
    uint64_t used;
    if (__builtin_add_overflow(pool->used, (uint64_t)size, &used) || (pool->limit && used > pool->limit))
        return -ENOMEM;
    if (used > pool->reserved) {
        int error = gv_take_memory(pool->state, gv_driver.unit[pool->ordinal], used - pool->reserved);
        if (error)
            return error;
        pool->reserved = used;
    }
    pool->used = used;
    if (pool->used > pool->used_high)
        pool->used_high = pool->used;
    if (pool->reserved > pool->reserved_high)
        pool->reserved_high = pool->reserved;
    return 0;
}

static void free_if_destroyed(struct gv_pool *pool)
{
    if (!pool->destroyed || pool->used)
        return;
    shrink(pool, 0);
    free(pool);
}

void gv_pool_give(struct gv_pool *pool, size_t size)
{
    pool->used -= size;
    shrink(pool, pool->threshold);
    free_if_destroyed(pool);
}

void gv_pools_trim(int ordinal)
{
    if (pools_of != gv_driver.state)
        return;
    if (default_pool[ordinal])
        shrink(default_pool[ordinal], 0);
    if (current_pool[ordinal])
        shrink(current_pool[ordinal], 0);
}

bool gv_pool_is_idle(const struct gv_pool *pool)
{
    return pool->is_default && !pool->reserved;
}

/* ---- which pools there are ---- */

static struct gv_pool *new_pool(int ordinal, uint64_t limit)
{
    struct gv_pool *pool = malloc(sizeof *pool);
    struct gv_handle *handle = gv_handle_new(GV_POOL, NULL);
    if (!pool || !handle) {
        free(pool);
        gv_handle_free(GV_POOL, handle);
        return NULL;
    }
    *pool = (struct gv_pool){
        .handle = handle, .state = gv_driver.state, .ordinal = ordinal, .limit = limit, .reuse = {1, 1, 1}};
    gv_devices_set(&pool->readable, ordinal, true);
    gv_devices_set(&pool->writable, ordinal, true);
    handle->data = pool;
    return pool;
}

void gv_pools_forget(void)
{
    for (int ordinal = 0; ordinal < GV_MAX_UNITS; ordinal++) {
        if (default_pool[ordinal]) {
            gv_handle_free(GV_POOL, default_pool[ordinal]->handle);
            free(default_pool[ordinal]);
        }
        default_pool[ordinal] = current_pool[ordinal] = NULL;
    }
    pools_of = NULL;
}

struct gv_pool *gv_pool_find(CUmemoryPool handle)
{
    struct gv_handle *found = gv_handle_find(GV_POOL, handle);
    struct gv_pool *pool = found ? found->data : NULL;
    return pool && pool->state == gv_driver.state ? pool : NULL;
}

static struct gv_pool *lock_and_find(CUmemoryPool handle)
{
    gv_lock(GV_LOCK_CUDA);
    return gv_pool_find(handle);
}

static void unlock(struct gv_pool **pool)
{
    (void)pool;
    gv_unlock(GV_LOCK_CUDA);
}

/* For the rest of the function `pool` is what the handle stands for, and the lock is held. */
#define REQUIRE_POOL(pool, handle)                                                 \
    REQUIRE_READY();                                                               \
    __attribute__((cleanup(unlock))) struct gv_pool *pool = lock_and_find(handle); \
    REQUIRE_VALUE(pool)

/* Under the lock. NULL: out of memory. */
static struct gv_pool *find_default(int ordinal)
{
    if (pools_of != gv_driver.state) {
        for (int i = 0; i < GV_MAX_UNITS; i++)
            default_pool[i] = current_pool[i] = NULL;
        pools_of = gv_driver.state;
    }
    if (!default_pool[ordinal] && (default_pool[ordinal] = new_pool(ordinal, 0)))
        default_pool[ordinal]->is_default = true;
    return default_pool[ordinal];
}

struct gv_pool *gv_pool_current(int ordinal)
{
    struct gv_pool *pool = find_default(ordinal);
    return current_pool[ordinal] ? current_pool[ordinal] : pool;
}

static CUresult give_pool(CUmemoryPool *handle, CUdevice device, struct gv_pool *(*find)(int))
{
    REQUIRE_READY();
    REQUIRE_VALUE(handle);
    REQUIRE_DEVICE(device);
    gv_lock(GV_LOCK_CUDA);
    struct gv_pool *pool = find(device);
    gv_unlock(GV_LOCK_CUDA);
    REQUIRE(pool, CUDA_ERROR_OUT_OF_MEMORY);
    *handle = gv_pool_handle(pool);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device)
{
    return give_pool(pool, device, find_default);
}

CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device)
{
    return give_pool(pool, device, gv_pool_current);
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool handle)
{
    REQUIRE_READY();
    REQUIRE_DEVICE(device);
    gv_lock(GV_LOCK_CUDA);
    struct gv_pool *pool = find_default(device) ? gv_pool_find(handle) : NULL;
    bool fits = pool && pool->ordinal == device;
    if (fits)
        current_pool[device] = pool;
    gv_unlock(GV_LOCK_CUDA);
    return fits ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- the same by location: only devices' own memory has pools here ---- */

static CUresult check_location(const CUmemLocation *location, CUmemAllocationType type)
{
    REQUIRE_READY();
    REQUIRE_VALUE(location && location->type != CU_MEM_LOCATION_TYPE_INVALID);
    REQUIRE_VALUE(type == CU_MEM_ALLOCATION_TYPE_PINNED || type == CU_MEM_ALLOCATION_TYPE_MANAGED);
    REQUIRE(location->type == CU_MEM_LOCATION_TYPE_DEVICE && type == CU_MEM_ALLOCATION_TYPE_PINNED,
            CUDA_ERROR_NOT_SUPPORTED);
    return CUDA_SUCCESS;
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool *pool, CUmemLocation *location, CUmemAllocationType type)
{
    CUresult result = check_location(location, type);
    return result == CUDA_SUCCESS ? cuDeviceGetDefaultMemPool(pool, location->id) : result;
}

CUresult cuMemGetMemPool(CUmemoryPool *pool, CUmemLocation *location, CUmemAllocationType type)
{
    CUresult result = check_location(location, type);
    return result == CUDA_SUCCESS ? cuDeviceGetMemPool(pool, location->id) : result;
}

CUresult cuMemSetMemPool(CUmemLocation *location, CUmemAllocationType type, CUmemoryPool pool)
{
    CUresult result = check_location(location, type);
    return result == CUDA_SUCCESS ? cuDeviceSetMemPool(location->id, pool) : result;
}

/* ---- pools of the program's own ---- */

/* None can be exported to another process: CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES says so. */
CUresult cuMemPoolCreate(CUmemoryPool *handle, const CUmemPoolProps *properties)
{
    REQUIRE_READY();
    REQUIRE_VALUE(handle && properties);
    CUresult result = check_location(&properties->location, properties->allocType);
    REQUIRE(result == CUDA_SUCCESS, result);
    REQUIRE_VALUE(gv_is_device(properties->location.id));
    REQUIRE(properties->handleTypes == CU_MEM_HANDLE_TYPE_NONE, CUDA_ERROR_NOT_SUPPORTED);
    struct gv_pool *pool = new_pool(properties->location.id, properties->maxSize);
    REQUIRE(pool, CUDA_ERROR_OUT_OF_MEMORY);
    *handle = gv_pool_handle(pool);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolDestroy(CUmemoryPool handle)
{
    REQUIRE_POOL(pool, handle);
    REQUIRE_VALUE(!pool->is_default);
    if (current_pool[pool->ordinal] == pool)
        current_pool[pool->ordinal] = NULL;
    gv_handle_free(GV_POOL, pool->handle);
    pool->destroyed = true;
    pool->handle = NULL;
    pool->threshold = 0;
    free_if_destroyed(pool);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool handle, size_t keep)
{
    REQUIRE_POOL(pool, handle);
    shrink(pool, keep);
    return CUDA_SUCCESS;
}

/* ---- attributes: the first three are ints, the others cuuint64_ts ---- */

static int *reuse_attribute(struct gv_pool *pool, CUmemPool_attribute attribute)
{
    bool is_reuse = attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
                    attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
    return is_reuse ? &pool->reuse[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES] : NULL;
}

static uint64_t *size_attribute(struct gv_pool *pool, CUmemPool_attribute attribute)
{
    switch (attribute) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        return &pool->threshold;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
        return &pool->reserved;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        return &pool->reserved_high;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        return &pool->used;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        return &pool->used_high;
    default:
        return NULL;
    }
}

CUresult cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    REQUIRE_POOL(pool, handle);
    REQUIRE_VALUE(value);
    const int *reuse = reuse_attribute(pool, attribute);
    const uint64_t *size = size_attribute(pool, attribute);
    REQUIRE_VALUE(reuse || size);
    if (reuse)
        *(int *)value = *reuse;
    else
        *(cuuint64_t *)value = *size;
    return CUDA_SUCCESS;
}

/* A high-water mark can only be set to 0: it begins anew at what there is now. */
CUresult cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    REQUIRE_POOL(pool, handle);
    REQUIRE_VALUE(value);
    int *reuse = reuse_attribute(pool, attribute);
    if (reuse) {
        *reuse = *(const int *)value != 0;
        return CUDA_SUCCESS;
    }
    cuuint64_t size = *(const cuuint64_t *)value;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        pool->threshold = size;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        REQUIRE_VALUE(size == 0);
        pool->reserved_high = pool->reserved;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        REQUIRE_VALUE(size == 0);
        pool->used_high = pool->used;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

/* ---- access by other devices ---- */

/* A pool's own device always has access. */
static bool can_set(const struct gv_pool *pool, const CUmemAccessDesc *access)
{
    if (access->location.type != CU_MEM_LOCATION_TYPE_DEVICE || !gv_is_device(access->location.id))
        return false;
    if (access->location.id == pool->ordinal)
        return access->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return gv_can_access(gv_driver.unit[access->location.id], gv_driver.unit[pool->ordinal]) &&
           (access->flags == CU_MEM_ACCESS_FLAGS_PROT_NONE || access->flags == CU_MEM_ACCESS_FLAGS_PROT_READ ||
            access->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
}

CUresult cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc *access, size_t count)
{
    REQUIRE_POOL(pool, handle);
    REQUIRE_VALUE(access && count);
    for (size_t i = 0; i < count; i++)
        REQUIRE_VALUE(can_set(pool, &access[i]));
    for (size_t i = 0; i < count; i++) {
        int ordinal = access[i].location.id;
        gv_devices_set(&pool->readable, ordinal, access[i].flags & CU_MEM_ACCESS_FLAGS_PROT_READ);
        gv_devices_set(&pool->writable, ordinal, access[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
        if (ordinal != pool->ordinal && access[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE)
            gv_cuda_record_peer("cuMemPoolSetAccess", gv_driver.unit[ordinal]);
    }
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags *flags, CUmemoryPool handle, CUmemLocation *location)
{
    REQUIRE_POOL(pool, handle);
    REQUIRE_VALUE(flags && location && location->type == CU_MEM_LOCATION_TYPE_DEVICE && gv_is_device(location->id));
    *flags = gv_devices_has(&pool->writable, location->id)   ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
             : gv_devices_has(&pool->readable, location->id) ? CU_MEM_ACCESS_FLAGS_PROT_READ
                                                             : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
}
