/* Initialisation: which devices there are for this process, decided once. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cuda_internal.h"
#include "core/mask.h"
#include "core/text.h"
#include "cuda_memory.h"
#include "siblings.h"

struct gv_driver gv_driver;

static _Atomic(pid_t) initialised_by; /* 0: cuInit has not succeeded */
static _Atomic(pid_t) forgotten_by;   /* this process had initialised CUDA, and has to find out anew what it has */
static _Atomic(bool) runtime_used;
static struct {
    pid_t by;
    char uuids[GV_MAX_UNITS * (GV_UUID_SIZE + 1)];
} told; /* what a CUDA runtime in this process was shown, where cuInit's own answer is not latched any more */
static CUresult init_result; /* cuInit's answer to latched_by on gv_driver.state */
static pid_t latched_by;

CUresult gv_cuda_ready(void)
{
    pid_t self = getpid();
    if (atomic_load(&initialised_by) == self || (atomic_load(&forgotten_by) == self && cuInit(0) == CUDA_SUCCESS))
        return CUDA_SUCCESS;
    return CUDA_ERROR_NOT_INITIALIZED;
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
    atomic_store(&forgotten_by, 0);
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
    gv_lock(GV_LOCK_CUDA);
    CUresult result = init_result;
    if (latched_by != getpid()) {
        struct gv_state *state = gv_machine_reopen();
        result = CUDA_ERROR_NO_DEVICE;
        if (state) {
            latch(state);
            record_init();
            result = init_result;
        }
    }
    gv_unlock(GV_LOCK_CUDA);
    return result;
}

void gv_cuda_note_runtime(void)
{
    atomic_store(&runtime_used, true);
}

/* Under the lock. */
static int write_shown(struct gv_text text)
{
    for (int ordinal = 0; gv_driver.state && ordinal < gv_driver.count; ordinal++)
        gv_text_format(&text, "%s\n", gv_driver.state->unit[gv_driver.unit[ordinal]].uuid);
    return (int)text.length;
}

/* Under the lock: what a runtime was shown stays in it, and in the libraries over it, after cuInit has been forgotten,
 * or where there was no machine to initialise. */
static void remember_for_runtime(void)
{
    memset(&told, 0, sizeof told);
    told.by = getpid();
    write_shown((struct gv_text){told.uuids, sizeof told.uuids - 1, 0});
}

int gv_driver_init_for_runtime(void)
{
    gv_cuda_note_runtime();
    CUresult result = cuInit(0);
    if (result != CUDA_SUCCESS) {
        gv_lock(GV_LOCK_CUDA);
        if (latched_by != getpid())
            remember_for_runtime();
        gv_unlock(GV_LOCK_CUDA);
    }
    return (int)result;
}

/* ---- for Python, between two tests (simulator/in_process.py) ---- */

#pragma GCC visibility push(default)
int gv_cuda_bonds(void);
const char *gv_cuda_machine(void);
int gv_cuda_shown(char *uuids, int size);
void gv_cuda_forget(void);
#pragma GCC visibility pop

/* Under the lock. */
static bool holds_anything(void)
{
    return gv_any_context() || gv_any_block() || gv_any_handle();
}

/* What ties this process to what cuInit found; 0: nothing. A runtime remembers how many devices there were, and so do
 * the libraries over it; whoever holds memory or contexts cannot leave them behind. */
int gv_cuda_bonds(void)
{
    enum { SHOWN = 1, RUNTIME = 2, HOLDS = 4 };
    gv_lock(GV_LOCK_CUDA);
    pid_t self = getpid();
    int bonds = 0;
    if (latched_by == self)
        bonds = SHOWN | (runtime_used ? RUNTIME : 0) | (holds_anything() ? HOLDS : 0);
    else if (told.by == self)
        bonds = SHOWN | RUNTIME;
    gv_unlock(GV_LOCK_CUDA);
    return bonds;
}

/* The directory of the machine that cuInit found; "" without one. */
const char *gv_cuda_machine(void)
{
    return gv_driver.state ? gv_machine_directory() : "";
}

/* The UUIDs of the devices that cuInit found, or a runtime before, in CUDA's order, a line each; the length of all, also
 * where `size` has no room for them. */
int gv_cuda_shown(char *uuids, int size)
{
    struct gv_text text = {uuids, (size_t)size, 0};
    gv_lock(GV_LOCK_CUDA);
    if (latched_by != getpid() && told.by == getpid())
        gv_text_bytes(&text, told.uuids, strlen(told.uuids));
    int length = text.length ? (int)text.length : write_shown(text);
    gv_unlock(GV_LOCK_CUDA);
    return length;
}

/* Lets the next call find out what there is, on the machine and under the mask of that moment, as a process does that
 * begins then. Not where it holds anything: that would be lost. */
void gv_cuda_forget(void)
{
    gv_lock(GV_LOCK_CUDA);
    bool latched = latched_by == getpid();
    if (!latched || !holds_anything()) {
        if (latched) {
            if (runtime_used)
                remember_for_runtime();
            gv_pools_forget();
            gv_driver.state = NULL;
            gv_driver.count = 0;
            atomic_store(&forgotten_by, latched_by);
            atomic_store(&initialised_by, 0);
            latched_by = 0;
        }
        gv_machine_follow();
    }
    gv_unlock(GV_LOCK_CUDA);
}

CUresult cuDriverGetVersion(int *version)
{
    REQUIRE_VALUE(version);
    struct gv_state *state = gv_driver.state ? gv_driver.state : gv_machine();
    REQUIRE(state, CUDA_ERROR_NO_DEVICE);
    *version = state->cuda_version;
    return CUDA_SUCCESS;
}
