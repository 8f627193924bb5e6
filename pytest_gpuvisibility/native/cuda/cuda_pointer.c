/* What a pointer is. */
#include "cuda_memory.h"

static bool is_host(const struct gv_block *block)
{
    return block->kind == GV_HOST || block->kind == GV_REGISTERED;
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr pointer)
{
    struct gv_block block;
    REQUIRE_READY();
    REQUIRE(gv_look_up((uintptr_t)pointer, &block) && !is_host(&block), CUDA_ERROR_NOT_FOUND);
    if (base)
        *base = block.start;
    if (size)
        *size = block.size;
    return CUDA_SUCCESS;
}

/* Seen from the current context's device, where there is one. */
static unsigned access_flags(const struct gv_block *block)
{
    CUcontext context;
    if (block->kind != GV_MAPPED || gv_current_context(&context) != CUDA_SUCCESS)
        return CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE;
    return gv_devices_has(&block->writable, context->ordinal)   ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE
           : gv_devices_has(&block->readable, context->ordinal) ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READ
                                                                : CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE;
}

static CUresult pointer_attribute(void *data, CUpointer_attribute attribute, CUdeviceptr pointer,
                                  const struct gv_block *block)
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
        REQUIRE_VALUE(is_host(block) || block->kind == GV_MANAGED);
        *(void **)data = (void *)(uintptr_t)pointer;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        *(unsigned long long *)data = block->id;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        *(unsigned *)data = block->kind == GV_DEVICE && block->origin.inode && !block->pool;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
        *(unsigned *)data = 0;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *(unsigned *)data = block->kind == GV_MANAGED;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPED:
        *(unsigned *)data = 1;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)data = block->ordinal;
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
        *(unsigned long long *)data = block->physical ? block->physical->properties.requestedHandleTypes : 0;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        *(unsigned *)data = access_flags(block);
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        *(CUmemoryPool *)data = block->pool ? gv_pool_handle(block->pool) : NULL;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr pointer)
{
    struct gv_block block;
    REQUIRE_READY();
    REQUIRE_VALUE(data && gv_look_up((uintptr_t)pointer, &block));
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
    struct gv_block block;
    REQUIRE_READY();
    REQUIRE_VALUE(count && attributes && data);
    bool known = gv_look_up((uintptr_t)pointer, &block);
    for (unsigned i = 0; i < count; i++) {
        REQUIRE_VALUE(data[i]);
        if (!known || pointer_attribute(data[i], attributes[i], pointer, &block) != CUDA_SUCCESS)
            unknown_attribute(data[i], attributes[i]);
    }
    return CUDA_SUCCESS;
}

/* No copy is ever pending, so that there is nothing to wait for either way. */
CUresult cuPointerSetAttribute(const void *value, CUpointer_attribute attribute, CUdeviceptr pointer)
{
    struct gv_block block;
    REQUIRE_READY();
    REQUIRE_VALUE(value && attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS);
    REQUIRE_VALUE(gv_look_up((uintptr_t)pointer, &block) && !is_host(&block) && block.kind != GV_MANAGED);
    return CUDA_SUCCESS;
}
