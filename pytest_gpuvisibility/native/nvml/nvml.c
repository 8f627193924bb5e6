/* libnvidia-ml.so.1: initialisation, and handles: how they are come by, and what is the matter with the GPU behind
 * one. */
#include "nvml_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ledger.h"
#include "core/locks.h"

/* ---- initialisation ---- */

/* All of these are changed under GV_LOCK_NVML. */
static unsigned int init_count;
static struct gv_state *attached;          /* since the first nvmlInit that succeeded; it may have faults by now */
static _Atomic(struct gv_state *) machine; /* the same while it answers; NULL while not initialised */
static _Atomic(struct gv_state *) last;    /* the machine that the handles of this generation are of */
static _Atomic(uintptr_t) generation;

static nvmlReturn_t answer_of(const struct gv_state *state)
{
    if (!state || state->faults & GV_FAULT_NOT_LOADED)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (state->faults & GV_FAULT_NO_NVML)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    return state->faults & GV_FAULT_NVML_DENIED ? NVML_ERROR_NO_PERMISSION : NVML_SUCCESS;
}

/* Under the lock: from now on NVML speaks of that machine. Handles of another one mean nothing then. */
static nvmlReturn_t attach(struct gv_state *state)
{
    nvmlReturn_t result = answer_of(state);
    attached = state;
    if (result == NVML_SUCCESS && atomic_exchange(&last, state) != state)
        atomic_fetch_add(&generation, 1);
    atomic_store(&machine, result == NVML_SUCCESS ? state : NULL);
    return result;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
    (void)flags;
    gv_lock(GV_LOCK_NVML);
    nvmlReturn_t result = init_count ? answer_of(attached) : attach(gv_machine_reopen());
    init_count += result == NVML_SUCCESS;
    gv_unlock(GV_LOCK_NVML);
    return result;
}

/* For Python (simulator/in_process.py), between two tests: whoever has initialised NVML finds himself on the machine
 * that the environment leads to now, or uninitialised where there is none. */
#pragma GCC visibility push(default)
void gv_nvml_follow(void);
#pragma GCC visibility pop

void gv_nvml_follow(void)
{
    gv_lock(GV_LOCK_NVML);
    struct gv_state *state = gv_machine_follow();
    if (init_count)
        attach(state);
    gv_unlock(GV_LOCK_NVML);
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

nvmlReturn_t gv_nvml_open(const void *output, struct gv_state **state)
{
    TRY(gv_nvml_machine(state));
    return output ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
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

/* ---- handles ---- */

/* Addresses, behind which there is nothing: each machine that the process was on has its own, each kind of handle too. */
static uintptr_t first_of(enum gv_nvml_handles kind)
{
    static const char base;
    return (uintptr_t)&base + (atomic_load(&generation) * GV_NVML_HANDLES + kind) * GV_MAX_UNITS;
}

uintptr_t gv_nvml_position(enum gv_nvml_handles kind, const void *handle)
{
    return (uintptr_t)handle - first_of(kind);
}

void *gv_nvml_at(enum gv_nvml_handles kind, int unit)
{
    return (void *)(first_of(kind) + (uintptr_t)unit);
}

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
    TRY(gv_nvml_open(output, &target->state));
    uintptr_t offset = gv_nvml_position(GV_NVML_DEVICES, handle);
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
        gv_ledger_write(&(struct gv_record){.event = GV_EVENT_QUESTION,
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
    *handle = gv_nvml_handle_at(unit);
    return NVML_SUCCESS;
}

nvmlDevice_t gv_nvml_handle_at(int unit)
{
    return gv_nvml_at(GV_NVML_DEVICES, unit);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    struct gv_state *state;
    TRY(gv_nvml_open(count, &state));
    *count = (unsigned int)state->device_count;
    return NVML_SUCCESS;
}
SAME_AS(nvmlDeviceGetCount, nvmlDeviceGetCount_v2);

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    struct gv_state *state;
    TRY(gv_nvml_open(device, &state));
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
    TRY(gv_nvml_open(uuid && device ? device : NULL, &state));
    for (int unit = 0; unit < state->unit_count; unit++)
        if (strcmp(state->unit[unit].uuid, uuid) == 0 || is_old_slice_name(state, &state->unit[unit], uuid))
            return gv_nvml_handle(state, unit, device);
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByUUIDV(const nvmlUUID_t *uuid, nvmlDevice_t *device)
{
    struct gv_state *state;
    TRY(gv_nvml_open(uuid && device ? device : NULL, &state));
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
    TRY(gv_nvml_open(serial && device ? device : NULL, &state));
    for (int unit = 0; unit < state->device_count; unit++) {
        char own[NVML_DEVICE_SERIAL_BUFFER_SIZE];
        gv_model_serial(&state->device[unit], own);
        if (!gv_model_is_consumer(&state->device[unit]) && strcmp(own, serial) == 0)
            return gv_nvml_handle(state, unit, device);
    }
    return NVML_ERROR_NOT_FOUND;
}

bool gv_nvml_read_pci(const char *text, struct gv_pci_address *address)
{
    int end = 0;
    *address = (struct gv_pci_address){0};
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

static bool same_address(const char *bus_id, const struct gv_pci_address *wanted)
{
    struct gv_pci_address own;
    return gv_nvml_read_pci(bus_id, &own) && own.domain == wanted->domain && own.bus == wanted->bus &&
           own.device == wanted->device && own.function == wanted->function;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device)
{
    struct gv_state *state;
    TRY(gv_nvml_open(bus_id && device ? device : NULL, &state));
    struct gv_pci_address address;
    if (!gv_nvml_read_pci(bus_id, &address))
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int unit = 0; unit < state->device_count; unit++)
        if (same_address(state->device[unit].pci_bus_id, &address))
            return gv_nvml_handle(state, unit, device);
    return NVML_ERROR_NOT_FOUND;
}
SAME_AS(nvmlDeviceGetHandleByPciBusId, nvmlDeviceGetHandleByPciBusId_v2);

/* ---- and back: what a handle stands for ---- */

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
