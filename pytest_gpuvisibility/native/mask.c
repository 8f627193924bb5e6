#include "mask.h"

#include <stdlib.h>
#include <string.h>

/* One element of the list: the text between two commas, without leading whitespace. */
struct token {
    const char *text;
    size_t length;
};

enum kind { ORDINALS, GPU_UUIDS, MIG_UUIDS };

#define INVALID (-1) /* the list ends here */

/* The GPUs that CUDA has at all, in CUDA_DEVICE_ORDER. */
struct gpus {
    int count;
    int index[GV_MAX_DEVICES];
};

/* From R570 a process sees every MIG device; before, one. */
static bool sees_many_slices(const struct gv_state *state)
{
    return atoi(state->driver_version) >= 570;
}

static void list_gpus(const struct gv_state *state, const char *order, struct gpus *gpus)
{
    bool by_bus = order && strcmp(order, "PCI_BUS_ID") == 0;
    gpus->count = 0;
    for (int device = 0; device < state->device_count; device++) {
        if (atomic_load(&state->device[device].faults) & GV_FAULT_GPU_LOST)
            continue;
        /* Insertion keeps equally fast GPUs in index order. */
        int place = gpus->count++;
        while (!by_bus && place > 0 && state->device[gpus->index[place - 1]].relative_speed <
                                           state->device[device].relative_speed) {
            gpus->index[place] = gpus->index[place - 1];
            place--;
        }
        gpus->index[place] = device;
    }
}

static bool is_slice(const struct gv_state *state, int unit)
{
    return unit >= state->device_count;
}

/* Whether the slice is the one that stands for its GPU instance: CUDA shows one compute instance of each. */
static bool leads_its_instance(const struct gv_state *state, int unit)
{
    for (int other = state->device_count; other < unit; other++)
        if (state->unit[other].device == state->unit[unit].device &&
            state->unit[other].gpu_instance == state->unit[unit].gpu_instance)
            return false;
    return true;
}

/* What a GPU contributes when all of them are shown: itself, or in MIG mode a slice of each GPU instance. */
static int add_all_of(const struct gv_state *state, int device, int units[GV_MAX_UNITS], int count)
{
    if (!state->device[device].mig_enabled) {
        units[count] = device;
        return count + 1;
    }
    for (int unit = state->device_count; unit < state->unit_count; unit++)
        if (state->unit[unit].device == device && leads_its_instance(state, unit))
            units[count++] = unit;
    return count;
}

/* What a GPU named by itself stands for: itself, or in MIG mode its first slice. */
static int unit_of_gpu(const struct gv_state *state, int device)
{
    if (!state->device[device].mig_enabled)
        return device;
    for (int unit = state->device_count; unit < state->unit_count; unit++)
        if (state->unit[unit].device == device)
            return unit;
    return INVALID;
}

static bool next_token(const char **rest, struct token *token)
{
    if (!*rest)
        return false;
    const char *start = *rest + strspn(*rest, " \t\n\v\f\r");
    const char *end = start + strcspn(start, ",");
    *rest = *end ? end + 1 : NULL;
    *token = (struct token){start, (size_t)(end - start)};
    return true;
}

static bool starts_with(struct token token, const char *prefix)
{
    return token.length >= strlen(prefix) && memcmp(token.text, prefix, strlen(prefix)) == 0;
}

static enum kind kind_of(struct token token)
{
    if (starts_with(token, "GPU-"))
        return GPU_UUIDS;
    return starts_with(token, "MIG-") ? MIG_UUIDS : ORDINALS;
}

/* A sign, then decimal digits; whatever follows them is ignored. */
static int unit_of_ordinal(const struct gv_state *state, const struct gpus *gpus, struct token token)
{
    size_t i = 0;
    bool negative = false;
    if (i < token.length && (token.text[i] == '+' || token.text[i] == '-'))
        negative = token.text[i++] == '-';
    size_t first_digit = i;
    int value = 0;
    for (; i < token.length && token.text[i] >= '0' && token.text[i] <= '9'; i++)
        if (value < gpus->count) /* from there on more digits change nothing, nor may they overflow */
            value = value * 10 + (token.text[i] - '0');
    if (i == first_digit || value >= gpus->count || (negative && value))
        return INVALID;
    return unit_of_gpu(state, gpus->index[value]);
}

static bool is_prefix_of(struct token token, const char *uuid)
{
    return token.length < GV_UUID_SIZE && strncmp(token.text, uuid, token.length) == 0;
}

static int unit_of_gpu_uuid(const struct gv_state *state, const struct gpus *gpus, struct token token)
{
    int found = INVALID;
    for (int i = 0; i < gpus->count; i++) {
        if (!is_prefix_of(token, state->device[gpus->index[i]].uuid))
            continue;
        if (found != INVALID)
            return INVALID;
        found = gpus->index[i];
    }
    return found == INVALID ? INVALID : unit_of_gpu(state, found);
}

static int unit_of_mig_uuid(const struct gv_state *state, const struct gpus *gpus, struct token token)
{
    (void)gpus;
    for (int unit = state->device_count; unit < state->unit_count; unit++)
        if (strlen(state->unit[unit].uuid) == token.length && is_prefix_of(token, state->unit[unit].uuid))
            return unit;
    return INVALID;
}

/* Up to the first invalid token; none at all when one unit comes twice before it. */
static int list_named(const struct gv_state *state, const struct gpus *gpus, const char *mask, int units[GV_MAX_UNITS])
{
    static int (*const unit_of[])(const struct gv_state *, const struct gpus *, struct token) = {
        [ORDINALS] = unit_of_ordinal, [GPU_UUIDS] = unit_of_gpu_uuid, [MIG_UUIDS] = unit_of_mig_uuid};
    bool seen[GV_MAX_UNITS] = {false};
    bool first = true;
    enum kind kind = ORDINALS;
    int count = 0;
    struct token token;
    while (next_token(&mask, &token)) {
        if (first)
            kind = kind_of(token);
        first = false;
        int unit = unit_of[kind](state, gpus, token);
        if (unit == INVALID)
            break;
        if (seen[unit])
            return 0;
        seen[unit] = true;
        units[count++] = unit;
    }
    return count;
}

int gv_visible_units(const struct gv_state *state, const char *mask, const char *order, int units[GV_MAX_UNITS])
{
    struct gpus gpus;
    int count = 0;
    list_gpus(state, order, &gpus);
    if (mask)
        count = list_named(state, &gpus, mask, units);
    else
        for (int i = 0; i < gpus.count; i++)
            count = add_all_of(state, gpus.index[i], units, count);
    if (sees_many_slices(state))
        return count;
    for (int i = 0; i < count; i++) {
        if (is_slice(state, units[i])) {
            units[0] = units[i];
            return 1;
        }
    }
    return count;
}
