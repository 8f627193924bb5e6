/* Initialisation: which devices there are for this process, decided once. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cuda_internal.h"
#include "core/mask.h"

struct gv_driver gv_driver;

static _Atomic(pid_t) initialised_by; /* 0: cuInit has not succeeded on any machine */
static CUresult init_result;          /* cuInit's answer to latched_by on gv_driver.state */
static pid_t latched_by;

CUresult gv_cuda_ready(void)
{
    return atomic_load(&initialised_by) == getpid() ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

void gv_cuda_record(enum gv_event event, const char *function, int unit, CUresult result, uint64_t bytes)
{
    bool latched = gv_driver.state != NULL;
    const struct gv_state *state = latched ? gv_driver.state : gv_machine();
    struct gv_record record = {
        .event = event,
        .function = function,
        .unit = state && unit >= 0 ? &state->unit[unit] : NULL,
        .result = (int)result,
        .bytes = bytes,
        .visible_devices = latched ? gv_driver.visible_devices : getenv("CUDA_VISIBLE_DEVICES"),
        .device_order = latched ? gv_driver.device_order : getenv("CUDA_DEVICE_ORDER"),
    };
    gv_ledger_write(&record);
}

static bool is_same(const char *value, const char *other)
{
    return value && other ? strcmp(value, other) == 0 : value == other;
}

void gv_cuda_record_mask(int unit)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES"), *order = getenv("CUDA_DEVICE_ORDER");
    if (is_same(visible, gv_driver.visible_devices) && is_same(order, gv_driver.device_order))
        return;
    gv_ledger_write(&(struct gv_record){.event = GV_EVENT_REMASK,
                                        .unit = &gv_driver.state->unit[unit],
                                        .visible_devices = visible,
                                        .device_order = order});
}

void gv_cuda_record_peer(const char *function, int unit)
{
    gv_cuda_record(GV_EVENT_PEER, function, unit, CUDA_SUCCESS, 0);
}

static char *copy_variable(const char *name)
{
    const char *value = getenv(name);
    return value ? strdup(value) : NULL;
}

/* A program may be put on another machine (another GPU_VISIBILITY_MACHINE) and initialise again; what it held on the
 * one before stays there until it ends. Contexts of that time are no longer known. */
static void latch(struct gv_state *state)
{
    memset(gv_driver.primary, 0, sizeof gv_driver.primary);
    free(gv_driver.visible_devices);
    free(gv_driver.device_order);
    gv_driver.visible_devices = copy_variable("CUDA_VISIBLE_DEVICES");
    gv_driver.device_order = copy_variable("CUDA_DEVICE_ORDER");
    gv_driver.count = gv_visible_units(state, gv_driver.visible_devices, gv_driver.device_order, gv_driver.unit);
    gv_driver.state = state;
    for (int ordinal = 0; ordinal < gv_driver.count; ordinal++) {
        gv_driver.primary[ordinal].ordinal = ordinal;
        gv_driver.primary[ordinal].unit = gv_driver.unit[ordinal];
        gv_driver.primary[ordinal].primary = true;
    }
    latched_by = getpid();
    init_result = gv_driver.count ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
    atomic_store(&initialised_by, gv_driver.count ? latched_by : 0);
}

static void record_init(void)
{
    struct gv_record record = {
        .event = GV_EVENT_INIT,
        .result = (int)init_result,
        .visible_devices = gv_driver.visible_devices,
        .device_order = gv_driver.device_order,
        .state = gv_driver.state,
        .visible = gv_driver.unit,
        .visible_count = gv_driver.count,
    };
    gv_ledger_write(&record);
}

CUresult cuInit(unsigned int flags)
{
    /* CUDA cannot be used in a child forked from a process that has initialised it. */
    pid_t owner = atomic_load(&initialised_by);
    REQUIRE(!owner || owner == getpid(), CUDA_ERROR_NOT_INITIALIZED);
    REQUIRE_VALUE(flags == 0);
    struct gv_state *state = gv_machine_reopen();
    REQUIRE(state, CUDA_ERROR_NO_DEVICE);
    gv_lock(GV_LOCK_CUDA);
    if (gv_driver.state != state || latched_by != getpid()) {
        latch(state);
        record_init();
    }
    CUresult result = init_result;
    gv_unlock(GV_LOCK_CUDA);
    return result;
}

CUresult cuDriverGetVersion(int *version)
{
    REQUIRE_VALUE(version);
    struct gv_state *state = gv_driver.state ? gv_driver.state : gv_machine();
    REQUIRE(state, CUDA_ERROR_NO_DEVICE);
    *version = state->cuda_version;
    return CUDA_SUCCESS;
}
