/* The ledger of a machine: one JSON object a line, appended by the programs on it. */
#ifndef GPUVISIBILITY_LEDGER_H
#define GPUVISIBILITY_LEDGER_H

#include "state.h"

/* What can be recorded. LedgerRecord of simulator/ledger.py says what each means to a reader; a test holds its list
 * against this one. */
enum gv_event {
    GV_EVENT_INIT,     /* cuInit; `visible` counts the units of `state` that it found */
    GV_EVENT_CONTEXT,  /* a context was opened */
    GV_EVENT_ALLOC,    /* device memory was allocated; `bytes` of it */
    GV_EVENT_REFUSED,  /* `function` was called, which is not offered */
    GV_EVENT_LAUNCH,   /* `function` launched a kernel, which did nothing */
    GV_EVENT_PEER,     /* `function` reached memory of one device from another; `unit` is not at home there */
    GV_EVENT_REMASK,   /* a context is opened under this mask, and cuInit read another */
    GV_EVENT_QUESTION, /* NVML was asked for what decisions rest on: `function` says what */
    GV_EVENTS
};

/* As the ledger has it: "init". */
const char *gv_event_name(enum gv_event event);

struct gv_record {
    enum gv_event event;
    const char *function;       /* or NULL */
    const struct gv_unit *unit; /* NULL where none is concerned */
    int result;                 /* the CUresult that the program was given */
    uint64_t bytes;
    const char *visible_devices, *device_order; /* CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER; NULL: not set */
    const struct gv_state *state; /* of GV_EVENT_INIT alone */
    const int *visible;
    int visible_count;
};

/* Appends the record to the ledger of gv_machine_directory(): of the same event, unit, function and result in one
 * process only the 1st, 2nd, 4th, 8th ... One that cannot be written is counted in gv_state.lost_records; errno is left
 * alone, and no signal is sent. Every launch is counted in gv_state.skipped_launches or refused_launches. */
void gv_ledger_write(const struct gv_record *record);

#endif
