/* libnvidia-ml.so.1: initialisation, the system, handles, and what identifies a GPU. */
#include "nvml_internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/ledger.h"
#include "core/locks.h"

/* ---- initialisation ---- */

/* Both are changed under GV_LOCK_NVML. */
static unsigned int init_count;
static _Atomic(struct gv_state *) machine; /* NULL while not initialised */

static nvmlReturn_t answer_of(const struct gv_state *state)
{
    if (!state || state->faults & GV_FAULT_NOT_LOADED)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (state->faults & GV_FAULT_NO_NVML)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    return state->faults & GV_FAULT_NVML_DENIED ? NVML_ERROR_NO_PERMISSION : NVML_SUCCESS;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
    (void)flags;
    gv_lock(GV_LOCK_NVML);
    struct gv_state *state = init_count ? atomic_load(&machine) : gv_machine_reopen();
    nvmlReturn_t result = answer_of(state);
    if (result == NVML_SUCCESS) {
        init_count++;
        atomic_store(&machine, state);
    }
    gv_unlock(GV_LOCK_NVML);
    return result;
}

nvmlReturn_t nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}
SAME_AS(nvmlInit, nvmlInit_v2);

nvmlReturn_t nvmlShutdown(void)
{
    gv_lock(GV_LOCK_NVML);
    nvmlReturn_t result = init_count ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
    if (init_count && --init_count == 0)
        atomic_store(&machine, NULL);
    gv_unlock(GV_LOCK_NVML);
    return result;
}

nvmlReturn_t gv_nvml_machine(struct gv_state **state)
{
    *state = atomic_load(&machine);
    return *state ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

/* What every function that is not here returns; generate_stubs.py writes them. */
int gv_nvml_refuse(const char *function);

int gv_nvml_refuse(const char *function)
{
    (void)function;
    struct gv_state *state;
    TRY(gv_nvml_machine(&state));
    return NVML_ERROR_NOT_SUPPORTED;
}

const char *nvmlErrorString(nvmlReturn_t result)
{
    switch (result) {
    case NVML_SUCCESS:
        return "Success";
    case NVML_ERROR_UNINITIALIZED:
        return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
        return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED:
        return "Not Supported";
    case NVML_ERROR_NO_PERMISSION:
        return "Insufficient Permissions";
    case NVML_ERROR_ALREADY_INITIALIZED:
        return "Already Initialized";
    case NVML_ERROR_NOT_FOUND:
        return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
        return "Insufficient Size";
    case NVML_ERROR_INSUFFICIENT_POWER:
        return "Insufficient External Power";
    case NVML_ERROR_DRIVER_NOT_LOADED:
        return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT:
        return "Timeout";
    case NVML_ERROR_IRQ_ISSUE:
        return "Interrupt Request Issue";
    case NVML_ERROR_LIBRARY_NOT_FOUND:
        return "NVML Shared Library Not Found";
    case NVML_ERROR_FUNCTION_NOT_FOUND:
        return "Function Not Found";
    case NVML_ERROR_CORRUPTED_INFOROM:
        return "Corrupted infoROM";
    case NVML_ERROR_GPU_IS_LOST:
        return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED:
        return "GPU requires reset";
    case NVML_ERROR_OPERATING_SYSTEM:
        return "The operating system has blocked the request";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "Driver/library version mismatch";
    case NVML_ERROR_IN_USE:
        return "In use by another client";
    case NVML_ERROR_MEMORY:
        return "Insufficient Memory";
    case NVML_ERROR_NO_DATA:
        return "No data";
    case NVML_ERROR_VGPU_ECC_NOT_SUPPORTED:
        return "The requested vgpu operation is not available on target device, because ECC is enabled";
    case NVML_ERROR_INSUFFICIENT_RESOURCES:
        return "Insufficient Resources";
    case NVML_ERROR_FREQ_NOT_SUPPORTED:
        return "The requested frequency is not supported";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
        return "The provided version is invalid or unsupported";
    case NVML_ERROR_DEPRECATED:
        return "Requested functionality has been deprecated";
    case NVML_ERROR_NOT_READY:
        return "The system is not ready for the request";
    case NVML_ERROR_GPU_NOT_FOUND:
        return "No GPUs were found";
    case NVML_ERROR_INVALID_STATE:
        return "Resource not in correct state to perform requested operation";
    case NVML_ERROR_RESET_TYPE_NOT_SUPPORTED:
        return "Reset not supported for given device/parameters";
    case NVML_ERROR_UNKNOWN:
        return "Unknown Error";
    }
    return "Unknown Error";
}

/* ---- the system ---- */

nvmlReturn_t gv_nvml_text(char *output, unsigned int length, const char *text)
{
    size_t size = strlen(text) + 1;
    if (length < size)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(output, text, size);
    return NVML_SUCCESS;
}

long long gv_nvml_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static nvmlReturn_t open_machine(const void *output, struct gv_state **state)
{
    TRY(gv_nvml_machine(state));
    return output ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t gv_nvml_given_up(const struct gv_state *state)
{
    return atoi(state->driver_version) >= 590 ? NVML_ERROR_DEPRECATED : NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    struct gv_state *state;
    TRY(open_machine(version, &state));
    return gv_nvml_text(version, length, state->driver_version);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    struct gv_state *state;
    TRY(open_machine(version, &state));
    char text[NVML_SYSTEM_NVML_VERSION_BUFFER_SIZE];
    snprintf(text, sizeof text, "%d.%s", state->cuda_version / 1000, state->driver_version);
    return gv_nvml_text(version, length, text);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    struct gv_state *state;
    TRY(open_machine(version, &state));
    *version = state->cuda_version;
    return NVML_SUCCESS;
}
SAME_AS(nvmlSystemGetCudaDriverVersion_v2, nvmlSystemGetCudaDriverVersion);

nvmlReturn_t nvmlSystemGetDriverBranch(nvmlSystemDriverBranchInfo_t *branch, unsigned int length)
{
    struct gv_state *state;
    TRY(open_machine(branch, &state));
    if (branch->version != nvmlSystemDriverBranchInfo_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    char text[sizeof branch->branch];
    snprintf(text, sizeof text, "r%d_00", atoi(state->driver_version));
    return gv_nvml_text(branch->branch, length < sizeof text ? length : sizeof text, text);
}

nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length)
{
    struct gv_state *state;
    TRY(open_machine(name, &state));
    if (!length)
        return NVML_ERROR_INVALID_ARGUMENT;
    char path[32], command[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NVML_ERROR_NOT_FOUND;
    ssize_t size = read(file, command, sizeof command - 1);
    close(file);
    if (size <= 0)
        return NVML_ERROR_NOT_FOUND; /* a kernel thread, or dead and not yet reaped */
    command[size] = 0;
    snprintf(name, length, "%s", command); /* its first argument, cropped as documented */
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlUnitGetCount(unsigned int *count)
{
    struct gv_state *state;
    TRY(open_machine(count, &state));
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGetExcludedDeviceCount(unsigned int *count)
{
    struct gv_state *state;
    TRY(open_machine(count, &state));
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGetExcludedDeviceInfoByIndex(unsigned int index, nvmlExcludedDeviceInfo_t *info)
{
    (void)index;
    struct gv_state *state;
    TRY(open_machine(info, &state));
    return NVML_ERROR_INVALID_ARGUMENT;
}

/* The former names of two functions: the library exports them, the header only renames them. */
#pragma GCC visibility push(default)
nvmlReturn_t nvmlGetBlacklistDeviceCount(unsigned int *count);
nvmlReturn_t nvmlGetBlacklistDeviceInfoByIndex(unsigned int index, nvmlExcludedDeviceInfo_t *info);
#pragma GCC visibility pop
SAME_AS(nvmlGetBlacklistDeviceCount, nvmlGetExcludedDeviceCount);
SAME_AS(nvmlGetBlacklistDeviceInfoByIndex, nvmlGetExcludedDeviceInfoByIndex);

/* ---- handles ---- */

struct nvmlDevice_st {
    char unit; /* its position in the table is what counts */
};
static struct nvmlDevice_st handles[GV_MAX_UNITS];

static nvmlReturn_t fault_of(const struct gv_device *device)
{
    uint32_t faults = atomic_load(&device->faults);
    if (faults & GV_FAULT_GPU_LOST)
        return NVML_ERROR_GPU_IS_LOST;
    if (faults & GV_FAULT_NVML_NO_PERMISSION)
        return NVML_ERROR_NO_PERMISSION;
    return faults & GV_FAULT_NVML_UNKNOWN ? NVML_ERROR_UNKNOWN : NVML_SUCCESS;
}

nvmlReturn_t gv_nvml_unit(nvmlDevice_t handle, const void *output, struct gv_target *target)
{
    TRY(open_machine(output, &target->state));
    uintptr_t offset = (uintptr_t)handle - (uintptr_t)handles;
    if (offset >= (uintptr_t)target->state->unit_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    target->unit_index = (int)offset;
    target->unit = &target->state->unit[offset];
    target->device_index = target->unit->device;
    target->device = &target->state->device[target->device_index];
    return fault_of(target->device);
}

bool gv_nvml_is_slice(const struct gv_target *target)
{
    return target->unit->gpu_instance >= 0;
}

nvmlReturn_t gv_nvml_gpu(nvmlDevice_t handle, const void *output, struct gv_target *target)
{
    nvmlReturn_t result = gv_nvml_unit(handle, output, target);
    return result == NVML_SUCCESS && gv_nvml_is_slice(target) ? NVML_ERROR_NOT_SUPPORTED : result;
}

nvmlReturn_t gv_nvml_asked(nvmlReturn_t result, const struct gv_target *target, const char *kind)
{
    if (result == NVML_SUCCESS && target->state->questions)
        gv_ledger_write(&(struct gv_record){.event = "question",
                                            .function = kind,
                                            .unit = target->unit,
                                            .visible_devices = getenv("CUDA_VISIBLE_DEVICES"),
                                            .device_order = getenv("CUDA_DEVICE_ORDER")});
    return result;
}

nvmlReturn_t gv_nvml_gpu_asked(nvmlDevice_t handle, const void *output, struct gv_target *target, const char *kind)
{
    return gv_nvml_asked(gv_nvml_gpu(handle, output, target), target, kind);
}

nvmlReturn_t gv_nvml_open_where(bool (*supported)(const struct gv_target *), nvmlDevice_t device, const void *output,
                                struct gv_target *target)
{
    nvmlReturn_t result = gv_nvml_gpu(device, output, target);
    return result == NVML_SUCCESS && !supported(target) ? NVML_ERROR_NOT_SUPPORTED : result;
}

bool gv_nvml_has_ecc(const struct gv_target *target)
{
    return !gv_model_is_consumer(target->device);
}

/* Only stacked memory has one. */
bool gv_nvml_has_memory_sensor(const struct gv_device *device)
{
    return gv_model_of(device)->bus_width >= 1024 && device->cc_major >= 8;
}

nvmlReturn_t gv_nvml_handle(const struct gv_state *state, int unit, nvmlDevice_t *handle)
{
    TRY(fault_of(&state->device[state->unit[unit].device]));
    *handle = &handles[unit];
    return NVML_SUCCESS;
}

nvmlDevice_t gv_nvml_handle_at(int unit)
{
    return &handles[unit];
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    struct gv_state *state;
    TRY(open_machine(count, &state));
    *count = (unsigned int)state->device_count;
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetCount, nvmlDeviceGetCount_v2);

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    struct gv_state *state;
    TRY(open_machine(device, &state));
    if (index >= (unsigned int)state->device_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    return gv_nvml_handle(state, (int)index, device);
}
SAME_AS(nvmlDeviceGetHandleByIndex, nvmlDeviceGetHandleByIndex_v2);

/* "MIG-GPU-<uuid>/<gpu instance>/<compute instance>", as drivers before R470 wrote a slice. */
static bool is_old_slice_name(const struct gv_state *state, const struct gv_unit *unit, const char *uuid)
{
    char text[GV_UUID_SIZE + 40];
    if (unit->gpu_instance < 0)
        return false;
    snprintf(text, sizeof text, "MIG-%s/%d/%d", state->device[unit->device].uuid, unit->gpu_instance,
             unit->compute_instance);
    return strcmp(text, uuid) == 0;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    struct gv_state *state;
    TRY(open_machine(uuid && device ? device : NULL, &state));
    for (int unit = 0; unit < state->unit_count; unit++)
        if (strcmp(state->unit[unit].uuid, uuid) == 0 || is_old_slice_name(state, &state->unit[unit], uuid))
            return gv_nvml_handle(state, unit, device);
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByUUIDV(const nvmlUUID_t *uuid, nvmlDevice_t *device)
{
    struct gv_state *state;
    TRY(open_machine(uuid && device ? device : NULL, &state));
    if (uuid->version != nvmlUUID_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (uuid->type != NVML_UUID_TYPE_ASCII)
        return uuid->type == NVML_UUID_TYPE_BINARY ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
    char text[sizeof uuid->value.str + 1];
    memcpy(text, uuid->value.str, sizeof uuid->value.str);
    text[sizeof uuid->value.str] = 0;
    return nvmlDeviceGetHandleByUUID(text, device);
}

nvmlReturn_t nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
    struct gv_state *state;
    TRY(open_machine(serial && device ? device : NULL, &state));
    for (int unit = 0; unit < state->device_count; unit++) {
        char own[NVML_DEVICE_SERIAL_BUFFER_SIZE];
        gv_model_serial(&state->device[unit], own);
        if (!gv_model_is_consumer(&state->device[unit]) && strcmp(own, serial) == 0)
            return gv_nvml_handle(state, unit, device);
    }
    return NVML_ERROR_NOT_FOUND;
}

struct pci_address {
    unsigned int domain, bus, device, function;
};

/* "[domain:]bus:device[.function]" in hexadecimal, of any case and width. */
static bool read_pci_address(const char *text, struct pci_address *address)
{
    int end = 0;
    *address = (struct pci_address){0};
    if (sscanf(text, "%8x:%2x:%2x%n", &address->domain, &address->bus, &address->device, &end) != 3 || !end) {
        address->domain = 0;
        end = 0;
        if (sscanf(text, "%2x:%2x%n", &address->bus, &address->device, &end) != 2 || !end)
            return false;
    }
    text += end;
    if (!*text)
        return true;
    end = 0;
    return sscanf(text, ".%1x%n", &address->function, &end) == 1 && end && !text[end];
}

static bool same_address(const char *bus_id, const struct pci_address *wanted)
{
    struct pci_address own;
    return read_pci_address(bus_id, &own) && own.domain == wanted->domain && own.bus == wanted->bus &&
           own.device == wanted->device && own.function == wanted->function;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device)
{
    struct gv_state *state;
    TRY(open_machine(bus_id && device ? device : NULL, &state));
    struct pci_address address;
    if (!read_pci_address(bus_id, &address))
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int unit = 0; unit < state->device_count; unit++)
        if (same_address(state->device[unit].pci_bus_id, &address))
            return gv_nvml_handle(state, unit, device);
    return NVML_ERROR_NOT_FOUND;
}
SAME_AS(nvmlDeviceGetHandleByPciBusId, nvmlDeviceGetHandleByPciBusId_v2);

/* ---- what identifies a GPU ---- */

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, name, &target));
    return gv_nvml_text(name, length, target.unit->name);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, uuid, &target));
    return gv_nvml_text(uuid, length, target.unit->uuid);
}

/* A slice's index is its position among those of its GPU. */
nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, index, &target));
    if (!gv_nvml_is_slice(&target)) {
        *index = (unsigned int)target.unit_index;
        return NVML_SUCCESS;
    }
    *index = 0;
    for (int unit = target.state->device_count; unit < target.unit_index; unit++)
        *index += target.state->unit[unit].device == target.device_index;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minor)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, minor, &target));
    *minor = (unsigned int)target.device->minor;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, serial, &target));
    if (gv_model_is_consumer(target.device))
        return NVML_ERROR_NOT_SUPPORTED;
    char text[NVML_DEVICE_SERIAL_BUFFER_SIZE];
    gv_model_serial(target.device, text);
    return gv_nvml_text(serial, length, text);
}

static unsigned int pci_device_id(const struct gv_device *device)
{
    return gv_model_of(device)->pci_device << 16 | 0x10DE;
}

/* The first version's structure ends before pciSubSystemId, the second's before busId: nothing beyond is written. */
nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    struct gv_target target;
    struct pci_address address;
    TRY(gv_nvml_gpu(device, pci, &target));
    if (!read_pci_address(target.device->pci_bus_id, &address))
        return NVML_ERROR_UNKNOWN;
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:%02X.%X", address.domain & 0xFFFF,
             address.bus & 0xFF, address.device & 0xFF, address.function & 0xF);
    pci->domain = address.domain;
    pci->bus = address.bus;
    pci->device = address.device;
    pci->pciDeviceId = pci_device_id(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    struct gv_target target;
    TRY(nvmlDeviceGetPciInfo(device, pci));
    TRY(gv_nvml_gpu(device, pci, &target));
    pci->pciSubSystemId = gv_model_of(target.device)->pci_subsystem;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    struct gv_target target;
    TRY(nvmlDeviceGetPciInfo_v2(device, pci));
    TRY(gv_nvml_gpu(device, pci, &target));
    return gv_nvml_text(pci->busId, sizeof pci->busId, target.device->pci_bus_id);
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_t *pci)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, pci, &target));
    if (pci->version != nvmlPciInfoExt_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlPciInfo_t plain;
    TRY(nvmlDeviceGetPciInfo_v3(device, &plain));
    pci->domain = plain.domain;
    pci->bus = plain.bus;
    pci->device = plain.device;
    pci->pciDeviceId = plain.pciDeviceId;
    pci->pciSubSystemId = plain.pciSubSystemId;
    pci->baseClass = 0x3;
    pci->subClass = gv_model_is_consumer(target.device) ? 0x0 : 0x2;
    memcpy(pci->busId, plain.busId, sizeof pci->busId);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t *brand)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, brand, &target));
    *brand = gv_model_brand(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t *architecture)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, architecture, &target));
    *architecture = gv_model_architecture(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    struct gv_target target;
    TRY(gv_nvml_unit(device, major && minor ? major : NULL, &target));
    *major = target.device->cc_major;
    *minor = target.device->cc_minor;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned int *count)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, count, &target));
    if (target.device->mig_enabled)
        return NVML_ERROR_NOT_SUPPORTED;
    *count = (unsigned int)target.device->multiprocessors * gv_model_cores_per_multiprocessor(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMultiGpuBoard(nvmlDevice_t device, unsigned int *several)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, several, &target));
    *several = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBoardId(nvmlDevice_t device, unsigned int *board)
{
    struct gv_target target;
    struct pci_address address;
    TRY(gv_nvml_gpu(device, board, &target));
    if (!read_pci_address(target.device->pci_bus_id, &address))
        return NVML_ERROR_UNKNOWN;
    *board = address.domain << 16 | address.bus << 8 | address.device;
    return NVML_SUCCESS;
}

/* Only boards of NVIDIA's own data-centre series carry it. */
nvmlReturn_t nvmlDeviceGetBoardPartNumber(nvmlDevice_t device, char *number, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, number, &target));
    if (gv_model_is_consumer(target.device))
        return NVML_ERROR_NOT_SUPPORTED;
    const char *known = gv_model_of(target.device)->board_part;
    return gv_nvml_text(number, length, known ? known : "900-2G500-0000-000");
}

nvmlReturn_t nvmlDeviceGetPdi(nvmlDevice_t device, nvmlPdi_t *pdi)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, pdi, &target));
    if (pdi->version != nvmlPdi_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    pdi->value = gv_model_hash(target.device);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetModuleId(nvmlDevice_t device, unsigned int *module)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, module, &target));
    *module = (unsigned int)target.device_index + 1;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBridgeChipInfo(nvmlDevice_t device, nvmlBridgeChipHierarchy_t *bridges)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, bridges, &target));
    return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *version, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, version, &target));
    return gv_nvml_text(version, length, gv_model_vbios(target.device));
}

nvmlReturn_t nvmlDeviceGetInforomImageVersion(nvmlDevice_t device, char *version, unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, version, &target));
    return gv_nvml_text(version, length, gv_model_inforom(target.device));
}

nvmlReturn_t nvmlDeviceGetInforomVersion(nvmlDevice_t device, nvmlInforomObject_t object, char *version,
                                         unsigned int length)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, version, &target));
    nvmlDeviceArchitecture_t architecture = gv_model_architecture(target.device);
    if (object == NVML_INFOROM_OEM) {
        const char *oem = architecture >= NVML_DEVICE_ARCH_ADA ? "2.1" : "2.0";
        return gv_nvml_text(version, length, architecture < NVML_DEVICE_ARCH_AMPERE ? "1.1" : oem);
    }
    if (object == NVML_INFOROM_ECC && !gv_model_is_consumer(target.device)) {
        const char *ecc = architecture >= NVML_DEVICE_ARCH_HOPPER ? "7.16" : "6.16";
        return gv_nvml_text(version, length, architecture < NVML_DEVICE_ARCH_AMPERE ? "5.0" : ecc);
    }
    return object < NVML_INFOROM_COUNT ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceValidateInforom(nvmlDevice_t device)
{
    struct gv_target target;
    return gv_nvml_gpu(device, &target, &target);
}

nvmlReturn_t nvmlDeviceGetGspFirmwareVersion(nvmlDevice_t device, char *version)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, version, &target));
    strcpy(version, target.state->driver_version); /* the buffer holds NVML_GSP_FIRMWARE_VERSION_BUF_SIZE */
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGspFirmwareMode(nvmlDevice_t device, unsigned int *enabled, unsigned int *by_default)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, enabled && by_default ? enabled : NULL, &target));
    *enabled = *by_default = gv_model_architecture(target.device) >= NVML_DEVICE_ARCH_TURING;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPlatformInfo(nvmlDevice_t device, nvmlPlatformInfo_t *platform)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, platform, &target));
    if (platform->version != nvmlPlatformInfo_v2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *platform = (nvmlPlatformInfo_t){.version = nvmlPlatformInfo_v2, .hostId = 1,
                                     .moduleId = (unsigned char)(target.device_index + 1)};
    return NVML_SUCCESS;
}

/* ---- where it is ---- */

static nvmlReturn_t fill_set(unsigned long *set, unsigned int size, long bits)
{
    const long word = sizeof *set * CHAR_BIT;
    if (!size)
        return NVML_ERROR_INVALID_ARGUMENT;
    memset(set, 0, size * sizeof *set);
    for (long bit = 0; bit < bits && bit < (long)size * word; bit++)
        set[bit / word] |= 1UL << bit % word;
    return NVML_SUCCESS;
}

/* Every GPU is near all processors: a simulated machine is one NUMA node. */
nvmlReturn_t nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned int size, unsigned long *set,
                                                 nvmlAffinityScope_t scope)
{
    struct gv_target target;
    TRY(gv_nvml_gpu_asked(device, set, &target, "affinity"));
    if (scope != NVML_AFFINITY_SCOPE_NODE && scope != NVML_AFFINITY_SCOPE_SOCKET)
        return NVML_ERROR_INVALID_ARGUMENT;
    return fill_set(set, size, sysconf(_SC_NPROCESSORS_CONF));
}

nvmlReturn_t nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned int size, unsigned long *set)
{
    return nvmlDeviceGetCpuAffinityWithinScope(device, size, set, NVML_AFFINITY_SCOPE_NODE);
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned int size, unsigned long *set,
                                         nvmlAffinityScope_t scope)
{
    struct gv_target target;
    TRY(gv_nvml_gpu_asked(device, set, &target, "affinity"));
    if (scope != NVML_AFFINITY_SCOPE_NODE && scope != NVML_AFFINITY_SCOPE_SOCKET)
        return NVML_ERROR_INVALID_ARGUMENT;
    return fill_set(set, size, 1);
}

static nvmlReturn_t open_pair(nvmlDevice_t first, nvmlDevice_t second, const void *output, struct gv_target *one,
                              struct gv_target *other)
{
    TRY(gv_nvml_gpu_asked(first, output, one, "topology"));
    return gv_nvml_gpu_asked(second, output, other, "topology");
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t first, nvmlDevice_t second, nvmlGpuTopologyLevel_t *level)
{
    struct gv_target one, other;
    TRY(open_pair(first, second, level, &one, &other));
    *level = one.unit_index == other.unit_index ? NVML_TOPOLOGY_INTERNAL : NVML_TOPOLOGY_NODE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t first, nvmlDevice_t second, nvmlGpuP2PCapsIndex_t capability,
                                    nvmlGpuP2PStatus_t *status)
{
    struct gv_target one, other;
    TRY(open_pair(first, second, status, &one, &other));
    if (capability >= NVML_P2P_CAPS_INDEX_UNKNOWN)
        return NVML_ERROR_INVALID_ARGUMENT;
    bool copies = capability == NVML_P2P_CAPS_INDEX_READ || capability == NVML_P2P_CAPS_INDEX_WRITE;
    bool sliced = one.device->mig_enabled || other.device->mig_enabled;
    *status = copies && !sliced ? NVML_P2P_STATUS_OK : NVML_P2P_STATUS_NOT_SUPPORTED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceOnSameBoard(nvmlDevice_t first, nvmlDevice_t second, int *same)
{
    struct gv_target one, other;
    TRY(open_pair(first, second, same, &one, &other));
    *same = one.unit_index == other.unit_index;
    return NVML_SUCCESS;
}

/* Stores every GPU but one, or none; only counts them where the caller gives no array. */
static nvmlReturn_t list_gpus(struct gv_state *state, int except, bool none, unsigned int *count, nvmlDevice_t *gpus)
{
    unsigned int found = 0, capacity = *count;
    for (int gpu = 0; gpu < state->device_count && !none; gpu++) {
        if (gpu == except)
            continue;
        if (gpus && found < capacity)
            gpus[found] = &handles[gpu];
        found++;
    }
    *count = found;
    return gpus && capacity && found > capacity ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTopologyNearestGpus(nvmlDevice_t device, nvmlGpuTopologyLevel_t level, unsigned int *count,
                                              nvmlDevice_t *gpus)
{
    struct gv_target target;
    TRY(gv_nvml_gpu_asked(device, count, &target, "topology"));
    if (level > NVML_TOPOLOGY_SYSTEM || level % 10)
        return NVML_ERROR_INVALID_ARGUMENT;
    return list_gpus(target.state, target.device_index, level != NVML_TOPOLOGY_NODE, count, gpus);
}

nvmlReturn_t nvmlSystemGetTopologyGpuSet(unsigned int processor, unsigned int *count, nvmlDevice_t *gpus)
{
    struct gv_state *state;
    TRY(open_machine(count, &state));
    if ((long)processor >= sysconf(_SC_NPROCESSORS_CONF))
        return NVML_ERROR_INVALID_ARGUMENT;
    return list_gpus(state, -1, false, count, gpus);
}

nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int *node)
{
    struct gv_target target;
    TRY(gv_nvml_gpu_asked(device, node, &target, "affinity"));
    return NVML_ERROR_NOT_SUPPORTED; /* its memory is no NUMA node */
}

/* A GPU on an NVSwitch board is a member of the fabric of its own machine. */
nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *info)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, info, &target));
    if (!gv_model_of(target.device)->fabric)
        return NVML_ERROR_NOT_SUPPORTED;
    if (info->version == nvmlGpuFabricInfo_v3)
        *info = (nvmlGpuFabricInfoV_t){.version = nvmlGpuFabricInfo_v3, .state = NVML_GPU_FABRIC_STATE_COMPLETED};
    else if (info->version == nvmlGpuFabricInfo_v2)
        *(nvmlGpuFabricInfo_v2_t *)info = (nvmlGpuFabricInfo_v2_t){.version = nvmlGpuFabricInfo_v2,
                                                                   .state = NVML_GPU_FABRIC_STATE_COMPLETED};
    else
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfo(nvmlDevice_t device, nvmlGpuFabricInfo_t *info)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, info, &target));
    if (!gv_model_of(target.device)->fabric)
        return NVML_ERROR_NOT_SUPPORTED;
    *info = (nvmlGpuFabricInfo_t){.state = NVML_GPU_FABRIC_STATE_COMPLETED};
    return NVML_SUCCESS;
}
