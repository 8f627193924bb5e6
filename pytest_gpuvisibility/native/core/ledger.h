/* The ledger of a machine: one JSON object a line, appended by the programs on it. */
#ifndef GPUVISIBILITY_LEDGER_H
#define GPUVISIBILITY_LEDGER_H

#include "state.h"

struct gv_record {
    const char *event;        /* "init", "context", "alloc" or "refused" */
    const char *function;     /* of "refused"; else NULL */
    const struct gv_unit *unit; /* NULL where none is concerned */
    int result;               /* the CUresult that the program was given */
    uint64_t bytes;           /* of "alloc" */
    const char *visible_devices, *device_order; /* CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER; NULL: not set */
    const struct gv_state *state;               /* of "init": `visible` counts its units */
    const int *visible;
    int visible_count;
};

/* Appends the record to the ledger of gv_machine_directory(): of the same event, unit, function and result in one
 * process only the 1st, 2nd, 4th, 8th ... One that cannot be written is counted in gv_state.lost_records; errno is left
 * alone, and no signal is sent. Every launch is counted in gv_state.skipped_launches or refused_launches. */
void gv_ledger_write(const struct gv_record *record);

#endif
