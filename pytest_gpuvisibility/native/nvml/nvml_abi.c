/* libnvidia-ml.so.1: the binary interface, checked while compiling. Programs were compiled against other releases of
 * nvml.h than this library: a structure that had another size here would be read beyond its end, or written. These are
 * the sizes on 64-bit systems that NVIDIA has kept since the structures exist; a header that changes one stops the
 * build. Names are generate_stubs.py's part: it exports every function that the header declares. */
#include "nvml_internal.h"

#define HAS_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has another size than programs expect")
/* A version number holds the size of the structure that it stands for. */
#define HAS_VERSION(macro, type, number) \
    _Static_assert((macro) == (sizeof(type) | (number) << 24), #macro " is not the version of " #type)

HAS_SIZE(nvmlPciInfo_t, 68);
HAS_SIZE(nvmlPciInfoExt_t, 64);
HAS_SIZE(nvmlMemory_t, 24);
HAS_SIZE(nvmlMemory_v2_t, 40);
HAS_SIZE(nvmlBAR1Memory_t, 24);
HAS_SIZE(nvmlUtilization_t, 8);
HAS_SIZE(nvmlProcessInfo_v1_t, 16);
HAS_SIZE(nvmlProcessInfo_v2_t, 24);
HAS_SIZE(nvmlProcessInfo_t, 24);
HAS_SIZE(nvmlProcessDetail_v1_t, 32);
HAS_SIZE(nvmlProcessDetailList_t, 24);
HAS_SIZE(nvmlProcessUtilizationSample_t, 32);
HAS_SIZE(nvmlProcessUtilizationInfo_v1_t, 40);
HAS_SIZE(nvmlDeviceAttributes_t, 40);
HAS_SIZE(nvmlRowRemapperHistogramValues_t, 20);
HAS_SIZE(nvmlRemappedRowsInfo_v2_t, 24);
HAS_SIZE(nvmlBridgeChipHierarchy_t, 1028);
HAS_SIZE(nvmlEccErrorCounts_t, 32);
HAS_SIZE(nvmlEccSramErrorStatus_t, 104);
HAS_SIZE(nvmlFieldValue_t, 40);
HAS_SIZE(nvmlSample_t, 16);
HAS_SIZE(nvmlViolationTime_t, 16);
HAS_SIZE(nvmlEventData_t, 32);
HAS_SIZE(nvmlGpuFabricInfo_t, 28);
HAS_SIZE(nvmlGpuFabricInfo_v2_t, 36);
HAS_SIZE(nvmlGpuFabricInfoV_t, 40);
HAS_SIZE(nvmlGpuInstancePlacement_t, 8);
HAS_SIZE(nvmlGpuInstanceProfileInfo_t, 48);
HAS_SIZE(nvmlGpuInstanceProfileInfo_v2_t, 152);
HAS_SIZE(nvmlGpuInstanceProfileInfo_v3_t, 152);
HAS_SIZE(nvmlGpuInstanceInfo_t, 24);
HAS_SIZE(nvmlComputeInstanceProfileInfo_t, 36);
HAS_SIZE(nvmlComputeInstanceProfileInfo_v2_t, 136);
HAS_SIZE(nvmlComputeInstanceProfileInfo_v3_t, 140);
HAS_SIZE(nvmlComputeInstanceInfo_t, 32);
HAS_SIZE(nvmlAccountingStats_t, 56);
HAS_SIZE(nvmlEncoderSessionInfo_t, 32);
HAS_SIZE(nvmlFBCStats_t, 12);
HAS_SIZE(nvmlFBCSessionInfo_t, 48);
HAS_SIZE(nvmlTemperature_t, 12);
HAS_SIZE(nvmlMarginTemperature_t, 8);
HAS_SIZE(nvmlDeviceAddressingMode_t, 8);
HAS_SIZE(nvmlPlatformInfo_t, 44);
HAS_SIZE(nvmlRepairStatus_t, 12);
HAS_SIZE(nvmlPdi_t, 16);
HAS_SIZE(nvmlUUID_t, 52);
HAS_SIZE(nvmlC2cModeInfo_v1_t, 4);
HAS_SIZE(nvmlExcludedDeviceInfo_t, 148);
HAS_SIZE(nvmlSystemDriverBranchInfo_t, 84);

HAS_VERSION(nvmlMemory_v2, nvmlMemory_v2_t, 2);
HAS_VERSION(nvmlPciInfoExt_v1, nvmlPciInfoExt_t, 1);
HAS_VERSION(nvmlProcessDetailList_v1, nvmlProcessDetailList_t, 1);
HAS_VERSION(nvmlGpuInstanceProfileInfo_v2, nvmlGpuInstanceProfileInfo_v2_t, 2);
HAS_VERSION(nvmlGpuInstanceProfileInfo_v3, nvmlGpuInstanceProfileInfo_v3_t, 3);
HAS_VERSION(nvmlComputeInstanceProfileInfo_v2, nvmlComputeInstanceProfileInfo_v2_t, 2);
HAS_VERSION(nvmlComputeInstanceProfileInfo_v3, nvmlComputeInstanceProfileInfo_v3_t, 3);
HAS_VERSION(nvmlGpuFabricInfo_v2, nvmlGpuFabricInfo_v2_t, 2);
HAS_VERSION(nvmlGpuFabricInfo_v3, nvmlGpuFabricInfoV_t, 3);
HAS_VERSION(nvmlPlatformInfo_v2, nvmlPlatformInfo_t, 2);
