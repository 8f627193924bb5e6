/* The reader of CUDA_VISIBLE_DEVICES on any input. The first byte chooses driver, order and lost GPUs. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mask.h"
#include "core/state.h"
#include "machine.h"

static struct gv_state *state;

static struct gv_state *make_machine(void)
{
    char directory[] = "/tmp/fuzz-mask-XXXXXX", file[64];
    assert(mkdtemp(directory) && gv_create(directory, DESCRIPTION) == 0 && gv_state_map(directory, &state) == 0);
    strcat(strcpy(file, directory), "/state");
    unlink(file);
    rmdir(directory);
    return state;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const drivers[] = {"450.80.02", "525.60.13", "580.95.05", ""};
    if (!size || (!state && !make_machine()))
        return 0;
    strcpy(state->driver_version, drivers[data[0] & 3]);
    state->device[0].faults = data[0] & 4 ? GV_FAULT_GPU_LOST : 0;
    state->device[1].faults = data[0] & 8 ? GV_FAULT_GPU_LOST : 0;
    char *mask = malloc(size); /* of exactly its size: reading beyond its end is noticed */
    memcpy(mask, data + 1, size - 1);
    mask[size - 1] = 0;
    int units[GV_MAX_UNITS];
    int count = gv_visible_units(state, mask, data[0] & 16 ? "PCI_BUS_ID" : NULL, units);
    assert(count >= 0 && count <= state->unit_count);
    for (int i = 0; i < count; i++) {
        assert(units[i] >= 0 && units[i] < state->unit_count);
        for (int j = 0; j < i; j++)
            assert(units[i] != units[j]);
    }
    free(mask);
    return 0;
}
