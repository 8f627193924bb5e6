/* Advice on managed memory: checked, accepted, and of no effect. */
#include "cuda_memory.h"

static bool is_host_location(CUmemLocation location)
{
    return location.type == CU_MEM_LOCATION_TYPE_HOST || location.type == CU_MEM_LOCATION_TYPE_HOST_NUMA ||
           location.type == CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT;
}

static CUresult check_location(CUmemLocation location)
{
    if (location.type == CU_MEM_LOCATION_TYPE_DEVICE)
        return gv_is_device(location.id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
    return is_host_location(location) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult check_range(CUdeviceptr pointer, size_t size)
{
    struct gv_block block;
    REQUIRE_VALUE(size && gv_look_up((uintptr_t)pointer, &block) && block.kind == GV_MANAGED);
    REQUIRE_VALUE(size <= block.start + block.size - (uintptr_t)pointer);
    return CUDA_SUCCESS;
}

/* Whether the advice says something of a location; the others ignore it. */
static bool needs_location(CUmem_advise advice)
{
    return advice == CU_MEM_ADVISE_SET_PREFERRED_LOCATION || advice == CU_MEM_ADVISE_SET_ACCESSED_BY ||
           advice == CU_MEM_ADVISE_UNSET_ACCESSED_BY;
}

CUresult cuMemAdvise_v2(CUdeviceptr pointer, size_t size, CUmem_advise advice, CUmemLocation location)
{
    REQUIRE_READY();
    REQUIRE_VALUE(advice >= CU_MEM_ADVISE_SET_READ_MOSTLY && advice <= CU_MEM_ADVISE_UNSET_ACCESSED_BY);
    CUresult result = needs_location(advice) ? check_location(location) : CUDA_SUCCESS;
    return result == CUDA_SUCCESS ? check_range(pointer, size) : result;
}

/* The older ones name the host by a device number of its own. */
static CUmemLocation location_of(CUdevice device)
{
    bool is_host = device == CU_DEVICE_CPU;
    return (CUmemLocation){.type = is_host ? CU_MEM_LOCATION_TYPE_HOST : CU_MEM_LOCATION_TYPE_DEVICE, .id = device};
}

CUresult cuMemAdvise(CUdeviceptr pointer, size_t size, CUmem_advise advice, CUdevice device)
{
    return cuMemAdvise_v2(pointer, size, advice, location_of(device));
}

CUresult cuMemPrefetchAsync_v2(CUdeviceptr pointer, size_t size, CUmemLocation location, unsigned int flags,
                               CUstream stream)
{
    REQUIRE_READY();
    REQUIRE_VALUE(flags == 0);
    REQUIRE(gv_is_stream(stream), CUDA_ERROR_INVALID_HANDLE);
    CUresult result = check_location(location);
    return result == CUDA_SUCCESS ? check_range(pointer, size) : result;
}
PER_THREAD(cuMemPrefetchAsync_v2, _ptsz);

CUresult cuMemPrefetchAsync(CUdeviceptr pointer, size_t size, CUdevice device, CUstream stream)
{
    return cuMemPrefetchAsync_v2(pointer, size, location_of(device), 0, stream);
}
PER_THREAD(cuMemPrefetchAsync, _ptsz);
