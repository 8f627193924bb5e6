/* What is known of a device. */
#include <string.h>

#include "cudart_internal.h"

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    FORWARD(gv_initialise, cuDeviceGetAttribute(value, (CUdevice_attribute)attribute, device));
}

/* Fields that are an attribute of the device each; a field that is not here is 0, as is what the simulation does not
 * have. */
static CUresult fill(struct cudaDeviceProp *properties, CUdevice device)
{
    int ignored;
    size_t memory;
#define INT(field, attribute) {offsetof(struct cudaDeviceProp, field), CU_DEVICE_ATTRIBUTE_##attribute, false}
#define SIZE(field, attribute) {offsetof(struct cudaDeviceProp, field), CU_DEVICE_ATTRIBUTE_##attribute, true}
    static const struct {
        size_t offset;
        CUdevice_attribute attribute;
        bool is_size;
    } fields[] = {
        SIZE(sharedMemPerBlock, MAX_SHARED_MEMORY_PER_BLOCK),
        INT(regsPerBlock, MAX_REGISTERS_PER_BLOCK),
        INT(warpSize, WARP_SIZE),
        SIZE(memPitch, MAX_PITCH),
        INT(maxThreadsPerBlock, MAX_THREADS_PER_BLOCK),
        INT(maxThreadsDim[0], MAX_BLOCK_DIM_X),
        INT(maxThreadsDim[1], MAX_BLOCK_DIM_Y),
        INT(maxThreadsDim[2], MAX_BLOCK_DIM_Z),
        INT(maxGridSize[0], MAX_GRID_DIM_X),
        INT(maxGridSize[1], MAX_GRID_DIM_Y),
        INT(maxGridSize[2], MAX_GRID_DIM_Z),
        SIZE(totalConstMem, TOTAL_CONSTANT_MEMORY),
        INT(major, COMPUTE_CAPABILITY_MAJOR),
        INT(minor, COMPUTE_CAPABILITY_MINOR),
        SIZE(textureAlignment, TEXTURE_ALIGNMENT),
        SIZE(texturePitchAlignment, TEXTURE_PITCH_ALIGNMENT),
        INT(multiProcessorCount, MULTIPROCESSOR_COUNT),
        INT(integrated, INTEGRATED),
        INT(canMapHostMemory, CAN_MAP_HOST_MEMORY),
        INT(maxTexture1D, MAXIMUM_TEXTURE1D_WIDTH),
        INT(maxTexture2D[0], MAXIMUM_TEXTURE2D_WIDTH),
        INT(maxTexture2D[1], MAXIMUM_TEXTURE2D_HEIGHT),
        INT(maxTexture3D[0], MAXIMUM_TEXTURE3D_WIDTH),
        INT(maxTexture3D[1], MAXIMUM_TEXTURE3D_HEIGHT),
        INT(maxTexture3D[2], MAXIMUM_TEXTURE3D_DEPTH),
        SIZE(surfaceAlignment, SURFACE_ALIGNMENT),
        INT(concurrentKernels, CONCURRENT_KERNELS),
        INT(ECCEnabled, ECC_ENABLED),
        INT(pciBusID, PCI_BUS_ID),
        INT(pciDeviceID, PCI_DEVICE_ID),
        INT(pciDomainID, PCI_DOMAIN_ID),
        INT(tccDriver, TCC_DRIVER),
        INT(asyncEngineCount, ASYNC_ENGINE_COUNT),
        INT(unifiedAddressing, UNIFIED_ADDRESSING),
        INT(memoryBusWidth, GLOBAL_MEMORY_BUS_WIDTH),
        INT(l2CacheSize, L2_CACHE_SIZE),
        INT(persistingL2CacheMaxSize, MAX_PERSISTING_L2_CACHE_SIZE),
        INT(maxThreadsPerMultiProcessor, MAX_THREADS_PER_MULTIPROCESSOR),
        INT(streamPrioritiesSupported, STREAM_PRIORITIES_SUPPORTED),
        INT(globalL1CacheSupported, GLOBAL_L1_CACHE_SUPPORTED),
        INT(localL1CacheSupported, LOCAL_L1_CACHE_SUPPORTED),
        SIZE(sharedMemPerMultiprocessor, MAX_SHARED_MEMORY_PER_MULTIPROCESSOR),
        INT(regsPerMultiprocessor, MAX_REGISTERS_PER_MULTIPROCESSOR),
        INT(managedMemory, MANAGED_MEMORY),
        INT(isMultiGpuBoard, MULTI_GPU_BOARD),
        INT(multiGpuBoardGroupID, MULTI_GPU_BOARD_GROUP_ID),
        INT(hostNativeAtomicSupported, HOST_NATIVE_ATOMIC_SUPPORTED),
        INT(pageableMemoryAccess, PAGEABLE_MEMORY_ACCESS),
        INT(concurrentManagedAccess, CONCURRENT_MANAGED_ACCESS),
        INT(computePreemptionSupported, COMPUTE_PREEMPTION_SUPPORTED),
        INT(canUseHostPointerForRegisteredMem, CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM),
        INT(cooperativeLaunch, COOPERATIVE_LAUNCH),
        SIZE(sharedMemPerBlockOptin, MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
        INT(pageableMemoryAccessUsesHostPageTables, PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES),
        INT(directManagedMemAccessFromHost, DIRECT_MANAGED_MEM_ACCESS_FROM_HOST),
        INT(maxBlocksPerMultiProcessor, MAX_BLOCKS_PER_MULTIPROCESSOR),
        INT(accessPolicyMaxWindowSize, MAX_ACCESS_POLICY_WINDOW_SIZE),
        SIZE(reservedSharedMemPerBlock, RESERVED_SHARED_MEMORY_PER_BLOCK),
        INT(hostRegisterSupported, HOST_REGISTER_SUPPORTED),
        INT(sparseCudaArraySupported, SPARSE_CUDA_ARRAY_SUPPORTED),
        INT(hostRegisterReadOnlySupported, READ_ONLY_HOST_REGISTER_SUPPORTED),
        INT(timelineSemaphoreInteropSupported, TIMELINE_SEMAPHORE_INTEROP_SUPPORTED),
        INT(memoryPoolsSupported, MEMORY_POOLS_SUPPORTED),
        INT(gpuDirectRDMASupported, GPU_DIRECT_RDMA_SUPPORTED),
        INT(gpuDirectRDMAFlushWritesOptions, GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS),
        INT(gpuDirectRDMAWritesOrdering, GPU_DIRECT_RDMA_WRITES_ORDERING),
        INT(memoryPoolSupportedHandleTypes, MEMPOOL_SUPPORTED_HANDLE_TYPES),
        INT(deferredMappingCudaArraySupported, DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED),
        INT(ipcEventSupported, IPC_EVENT_SUPPORTED),
        INT(clusterLaunch, CLUSTER_LAUNCH),
        INT(unifiedFunctionPointers, UNIFIED_FUNCTION_POINTERS),
#if CUDART_VERSION >= 13000
        INT(deviceNumaConfig, NUMA_CONFIG),
        INT(deviceNumaId, NUMA_ID),
        INT(mpsEnabled, MPS_ENABLED),
        INT(hostNumaId, HOST_NUMA_ID),
        INT(gpuPciDeviceID, GPU_PCI_DEVICE_ID),
        INT(gpuPciSubsystemID, GPU_PCI_SUBSYSTEM_ID),
        INT(hostNumaMultinodeIpcSupported, HOST_NUMA_MULTINODE_IPC_SUPPORTED),
#else
        INT(clockRate, CLOCK_RATE),
        INT(deviceOverlap, GPU_OVERLAP),
        INT(kernelExecTimeoutEnabled, KERNEL_EXEC_TIMEOUT),
        INT(computeMode, COMPUTE_MODE),
        INT(maxTexture1DLinear, MAXIMUM_TEXTURE1D_LINEAR_WIDTH),
        INT(memoryClockRate, MEMORY_CLOCK_RATE),
        INT(singleToDoublePrecisionPerfRatio, SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO),
        INT(cooperativeMultiDeviceLaunch, COOPERATIVE_MULTI_DEVICE_LAUNCH),
#endif
    };
#undef INT
#undef SIZE
    CUresult result = cuDeviceGetName(properties->name, sizeof properties->name, device);
    if (result == CUDA_SUCCESS)
        result = cuDeviceGetUuid_v2((CUuuid *)&properties->uuid, device);
    if (result == CUDA_SUCCESS)
        result = cuDeviceTotalMem_v2(&memory, device);
    if (result != CUDA_SUCCESS)
        return result;
    properties->totalGlobalMem = memory;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int value = cuDeviceGetAttribute(&ignored, fields[i].attribute, device) == CUDA_SUCCESS ? ignored : 0;
        char *field = (char *)properties + fields[i].offset;
        if (fields[i].is_size)
            *(size_t *)field = (size_t)value;
        else
            *(int *)field = value;
    }
    return CUDA_SUCCESS;
}

static cudaError_t get(void *properties, size_t size, int device)
{
    struct cudaDeviceProp filled;
    memset(&filled, 0, sizeof filled);
    REQUIRE_VALUE(properties);
    TRY(gv_initialise());
    TRY(fill(&filled, device));
    memcpy(properties, &filled, size);
    return cudaSuccess;
}

#if CUDART_VERSION >= 13000

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    return get(properties, sizeof *properties, device);
}

#else

cudaError_t cudaGetDeviceProperties_v2(struct cudaDeviceProp *properties, int device)
{
    return get(properties, sizeof *properties, device);
}

/* What was compiled before CUDA 12 has a structure that ends where this field begins. */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    return get(properties, offsetof(struct cudaDeviceProp, hostRegisterSupported), device);
}

#endif
