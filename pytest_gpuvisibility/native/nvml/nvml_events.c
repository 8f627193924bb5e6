/* libnvidia-ml.so.1: events. Programs may wait for them as on any machine; a simulated GPU has no errors and changes
 * no clock or power state, so the only end of a wait is its time-out, or a GPU that is lost. */
#include "nvml_internal.h"

#include <stdlib.h>
#include <time.h>

#include "core/locks.h"

struct nvmlEventSet_st {
    struct nvmlEventSet_st *next;
    const struct gv_state *state; /* the machine that it is of */
    bool watches[GV_MAX_DEVICES], told[GV_MAX_DEVICES]; /* told: of the loss of the GPU */
    unsigned long long types[GV_MAX_DEVICES];
};

/* Every set that was created and not freed, so that any other pointer is recognised. Under
 * GV_LOCK_EVENT_SETS. */
static struct nvmlEventSet_st *sets;

enum { XID_FALLEN_OFF_THE_BUS = 79, POLL_MILLISECONDS = 20 };

static bool is_set(const struct nvmlEventSet_st *wanted)
{
    const struct nvmlEventSet_st *set = sets;
    while (set && set != wanted)
        set = set->next;
    return set != NULL;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
    struct gv_state *state;
    TRY(gv_nvml_machine(&state));
    if (!set)
        return NVML_ERROR_INVALID_ARGUMENT;
    struct nvmlEventSet_st *made = calloc(1, sizeof *made);
    if (!made)
        return NVML_ERROR_MEMORY;
    gv_lock(GV_LOCK_EVENT_SETS);
    made->state = state;
    made->next = sets;
    sets = made;
    gv_unlock(GV_LOCK_EVENT_SETS);
    *set = made;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
    struct gv_state *state;
    TRY(gv_nvml_machine(&state));
    gv_lock(GV_LOCK_EVENT_SETS);
    struct nvmlEventSet_st **link = &sets;
    while (*link && *link != set)
        link = &(*link)->next;
    bool found = *link != NULL;
    if (found)
        *link = set->next;
    gv_unlock(GV_LOCK_EVENT_SETS);
    if (!found)
        return NVML_ERROR_INVALID_ARGUMENT;
    free(set);
    return NVML_SUCCESS;
}

static unsigned long long supported_types(const struct gv_target *target)
{
    unsigned long long types = nvmlEventTypeXidCriticalError | nvmlEventTypePState | nvmlEventTypeClock;
    if (gv_nvml_has_ecc(target))
        types |= nvmlEventTypeSingleBitEccError | nvmlEventTypeDoubleBitEccError;
    return types;
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, types, &target));
    *types = supported_types(&target);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set)
{
    struct gv_target target;
    TRY(gv_nvml_gpu(device, set, &target));
    if (types & ~supported_types(&target))
        return NVML_ERROR_NOT_SUPPORTED;
    gv_lock(GV_LOCK_EVENT_SETS);
    bool found = is_set(set) && set->state == target.state;
    if (found) {
        set->watches[target.device_index] = true;
        set->types[target.device_index] |= types;
    }
    gv_unlock(GV_LOCK_EVENT_SETS);
    return found ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

/* A GPU that was lost since: an XID, as the kernel reports it, once for each set. */
static bool find_loss(struct nvmlEventSet_st *set, const struct gv_state *state, int *device)
{
    for (int i = 0; i < state->device_count; i++)
        if (set->watches[i] && !set->told[i] && set->types[i] & nvmlEventTypeXidCriticalError &&
            atomic_load(&state->device[i].faults) & GV_FAULT_GPU_LOST) {
            set->told[i] = true;
            *device = i;
            return true;
        }
    return false;
}

static void sleep_milliseconds(unsigned int milliseconds)
{
    struct timespec pause = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int milliseconds)
{
    struct gv_state *state;
    TRY(gv_nvml_machine(&state));
    if (!data)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (;;) {
        int device = -1;
        TRY(gv_nvml_machine(&state)); /* meanwhile the process may have been put on another machine */
        gv_lock(GV_LOCK_EVENT_SETS);
        bool known = is_set(set) && set->state == state, lost = known && find_loss(set, state, &device);
        gv_unlock(GV_LOCK_EVENT_SETS);
        if (!known)
            return NVML_ERROR_INVALID_ARGUMENT;
        if (lost) {
            *data = (nvmlEventData_t){.device = gv_nvml_handle_at(device),
                                      .eventType = nvmlEventTypeXidCriticalError,
                                      .eventData = XID_FALLEN_OFF_THE_BUS,
                                      .gpuInstanceId = 0xFFFFFFFF,
                                      .computeInstanceId = 0xFFFFFFFF};
            return NVML_SUCCESS;
        }
        if (!milliseconds)
            return NVML_ERROR_TIMEOUT;
        unsigned int pause = milliseconds < POLL_MILLISECONDS ? milliseconds : POLL_MILLISECONDS;
        sleep_milliseconds(pause);
        milliseconds -= pause;
    }
}

/* The first version's structure ends before the instances: nothing beyond may be written. */
nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int milliseconds)
{
    nvmlEventData_t all;
    TRY(nvmlEventSetWait_v2(set, data ? &all : NULL, milliseconds));
    data->device = all.device;
    data->eventType = all.eventType;
    data->eventData = all.eventData;
    return NVML_SUCCESS;
}
