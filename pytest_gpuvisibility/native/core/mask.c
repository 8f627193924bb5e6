#include "mask.h"

#include <stdlib.h>
#include <string.h>

/* One element of the list: the text between two commas, without leading whitespace. */
struct token {
    const char *text;
    size_t length;
};

enum kind { ORDINALS, GPU_UUIDS, MIG_UUIDS };

/* The units that a process sees, as far as the list was read. */
struct shown {
    int count;
    int *unit;
    bool seen[GV_MAX_UNITS];
    bool repeats; /* one was named twice */
};

/* The GPUs that CUDA has at all, in CUDA_DEVICE_ORDER. */
struct gpus {
    int count;
    int index[GV_MAX_DEVICES];
};

/* MIG UUIDs of their own came with R470; from R570 on a process sees slices of several GPU instances, before only one. */
#define FIRST_WITH_MIG_UUIDS 470
#define FIRST_WITH_MANY_SLICES 570

static int driver_branch(const struct gv_state *state)
{
    return atoi(state->driver_version);
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

/* Whether an earlier one of `units` is a slice of the same GPU instance: CUDA shows one compute instance of each. */
static bool shares_instance(const struct gv_state *state, const int *units, int position)
{
    const struct gv_unit *unit = &state->unit[units[position]];
    for (int i = 0; i < position; i++) {
        const struct gv_unit *other = &state->unit[units[i]];
        if (is_slice(state, units[i]) && other->device == unit->device && other->gpu_instance == unit->gpu_instance)
            return true;
    }
    return false;
}

static void show(struct shown *shown, int unit)
{
    shown->repeats |= shown->seen[unit];
    if (!shown->repeats)
        shown->unit[shown->count++] = unit;
    shown->seen[unit] = true;
}

/* Shows a GPU: itself, or in MIG mode a slice of each GPU instance. False where it has none. */
static bool show_gpu(const struct gv_state *state, int device, struct shown *shown)
{
    int slices[GV_MAX_UNITS], count = 0;
    if (!state->device[device].mig_enabled) {
        show(shown, device);
        return true;
    }
    for (int unit = state->device_count; unit < state->unit_count; unit++) {
        slices[count] = unit;
        if (state->unit[unit].device == device && !shares_instance(state, slices, count))
            count++;
    }
    for (int i = 0; i < count; i++)
        show(shown, slices[i]);
    return count > 0;
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

/* Each of these shows what a token of its kind names, or returns false where the token is not valid. */

/* A sign, then decimal digits; whatever follows them is ignored. */
static bool show_ordinal(const struct gv_state *state, const struct gpus *gpus, struct token token,
                         struct shown *shown)
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
        return false;
    return show_gpu(state, gpus->index[value], shown);
}

static bool begins(const char *uuid, const char *prefix, size_t length)
{
    return length < GV_UUID_SIZE && strncmp(prefix, uuid, length) == 0;
}

/* The only GPU whose UUID begins like this; -1 for none or several. */
static int find_gpu(const struct gv_state *state, const struct gpus *gpus, const char *prefix, size_t length)
{
    int found = -1;
    for (int i = 0; i < gpus->count; i++) {
        if (!begins(state->device[gpus->index[i]].uuid, prefix, length))
            continue;
        if (found >= 0)
            return -1;
        found = gpus->index[i];
    }
    return found;
}

static bool show_gpu_uuid(const struct gv_state *state, const struct gpus *gpus, struct token token,
                          struct shown *shown)
{
    int device = starts_with(token, "GPU-") ? find_gpu(state, gpus, token.text, token.length) : -1;
    return device >= 0 && show_gpu(state, device, shown);
}

/* "<number>" of at most nine digits up to `end`, which moves on to what follows it. */
static bool read_instance(const char **text, const char *end, int *instance)
{
    const char *start = *text;
    for (*instance = 0; *text < end && **text >= '0' && **text <= '9'; ++*text)
        if (*text - start < 9)
            *instance = *instance * 10 + (**text - '0');
    return *text > start && *text - start <= 9;
}

/* "MIG-<beginning of the GPU's UUID>/<gpu instance>/<compute instance>", the form before R470; -1 for none. */
static int find_legacy_slice(const struct gv_state *state, const struct gpus *gpus, struct token token)
{
    const char *end = token.text + token.length, *uuid = token.text + strlen("MIG-");
    const char *slash = memchr(token.text, '/', token.length), *text = slash + 1;
    int gpu_instance, compute_instance;
    if (!read_instance(&text, end, &gpu_instance) || text == end || *text++ != '/' ||
        !read_instance(&text, end, &compute_instance) || text != end)
        return -1;
    int device = find_gpu(state, gpus, uuid, (size_t)(slash - uuid));
    for (int unit = state->device_count; unit < state->unit_count; unit++)
        if (state->unit[unit].device == device && state->unit[unit].gpu_instance == gpu_instance &&
            state->unit[unit].compute_instance == compute_instance)
            return unit;
    return -1;
}

static bool is_lost(const struct gv_state *state, int unit)
{
    return atomic_load(&state->device[state->unit[unit].device].faults) & GV_FAULT_GPU_LOST;
}

static int find_slice(const struct gv_state *state, struct token token)
{
    for (int unit = state->device_count; unit < state->unit_count; unit++)
        if (strlen(state->unit[unit].uuid) == token.length && begins(state->unit[unit].uuid, token.text, token.length) &&
            !is_lost(state, unit))
            return unit;
    return -1;
}

static bool show_mig_uuid(const struct gv_state *state, const struct gpus *gpus, struct token token,
                          struct shown *shown)
{
    int unit = -1;
    if (starts_with(token, "MIG-GPU-") && memchr(token.text, '/', token.length))
        unit = find_legacy_slice(state, gpus, token);
    else if (starts_with(token, "MIG-") && driver_branch(state) >= FIRST_WITH_MIG_UUIDS)
        unit = find_slice(state, token);
    if (unit >= 0)
        show(shown, unit);
    return unit >= 0;
}

/* Up to the first token that is not valid; none at all where a unit comes twice before it. */
static int show_named(const struct gv_state *state, const struct gpus *gpus, const char *mask, int *units)
{
    static bool (*const show_token[])(const struct gv_state *, const struct gpus *, struct token, struct shown *) = {
        [ORDINALS] = show_ordinal, [GPU_UUIDS] = show_gpu_uuid, [MIG_UUIDS] = show_mig_uuid};
    struct shown shown = {.unit = units};
    struct token token;
    bool valid = next_token(&mask, &token);
    enum kind kind = kind_of(token);
    while (valid && show_token[kind](state, gpus, token, &shown) && !shown.repeats)
        valid = next_token(&mask, &token);
    return shown.repeats ? 0 : shown.count;
}

static int show_all(const struct gv_state *state, const struct gpus *gpus, int *units)
{
    struct shown shown = {.unit = units};
    for (int i = 0; i < gpus->count; i++)
        show_gpu(state, gpus->index[i], &shown);
    return shown.count;
}

/* What a driver shows of all that is named: before R570 a single slice and nothing else, then one of each GPU instance. */
static int limit_slices(const struct gv_state *state, int *units, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (is_slice(state, units[i]) && driver_branch(state) < FIRST_WITH_MANY_SLICES) {
            units[0] = units[i];
            return 1;
        }
        units[kept] = units[i];
        if (!is_slice(state, units[i]) || !shares_instance(state, units, kept))
            kept++;
    }
    return kept;
}

int gv_visible_units(const struct gv_state *state, const char *mask, const char *order, int units[GV_MAX_UNITS])
{
    struct gpus gpus;
    if (state->faults & GV_FAULT_NOT_LOADED)
        return 0;
    list_gpus(state, order, &gpus);
    int count = mask ? show_named(state, &gpus, mask, units) : show_all(state, &gpus, units);
    return limit_slices(state, units, count);
}
