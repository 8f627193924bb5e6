/* libgpuvisibility.so: what Python (simulator/state.py) may ask of a machine. Every function returns 0 or more, or
 * -errno, and works on the machine in `directory`, whatever machine the process itself is on. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mask.h"
#include "core/state.h"
#include "core/text.h"

/* Their only callers are Python's: no header declares them. */
#define GV_API __attribute__((visibility("default")))
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

static void unmap(struct gv_state **state)
{
    if (*state)
        gv_state_unmap(*state);
}

/* For the rest of the function `state` is that of the machine; the function ends here where there is none. */
#define WITH_STATE(state, directory)                         \
    __attribute__((cleanup(unmap))) struct gv_state *state;  \
    do {                                                     \
        int map_error = gv_state_map((directory), &(state)); \
        if (map_error)                                       \
            return map_error;                                \
    } while (0)

/* ---- gv_create ---- */

static bool copy_text(char *target, size_t size, const char *value)
{
    size_t length = strlen(value);
    if (length >= size)
        return false;
    memcpy(target, value, length + 1);
    return true;
}

static bool read_number(const char *value, long long low, long long high, long long *number)
{
    char *end;
    errno = 0;
    *number = strtoll(value, &end, 10);
    return !errno && end != value && !*end && *number >= low && *number <= high;
}

static bool set_int(int32_t *target, const char *value)
{
    long long number;
    bool valid = read_number(value, INT32_MIN, INT32_MAX, &number);
    if (valid)
        *target = (int32_t)number;
    return valid;
}

static bool set_memory(uint64_t *target, const char *value)
{
    long long number;
    bool valid = read_number(value, 0, INT64_MAX, &number);
    if (valid)
        *target = (uint64_t)number;
    return valid;
}

/* The position of a device's or a slice's line in the description decides what a key belongs to. */
struct reading {
    bool full; /* there are more devices or slices than a machine holds */
    struct gv_state *state;
    struct gv_device *device; /* of the last "device=" */
    struct gv_unit *unit;     /* of the last "device=" or "mig=" */
};

static bool start_unit(struct reading *reading, bool slice)
{
    struct gv_state *state = reading->state;
    reading->full = state->unit_count == GV_MAX_UNITS || (!slice && state->device_count == GV_MAX_DEVICES);
    if (reading->full || (slice && !state->device_count))
        return false;
    reading->unit = &state->unit[state->unit_count++];
    reading->unit->gpu_instance = reading->unit->compute_instance = -1;
    if (slice)
        return true;
    if (state->unit_count - 1 != state->device_count)
        return false;
    reading->unit->device = state->device_count;
    reading->device = &state->device[state->device_count++];
    return true;
}

static bool set_machine(struct gv_state *state, const char *key, const char *value)
{
    if (strcmp(key, "inventory") == 0)
        return copy_text(state->inventory, sizeof state->inventory, value);
    if (strcmp(key, "driver_version") == 0)
        return copy_text(state->driver_version, sizeof state->driver_version, value);
    if (strcmp(key, "cuda_version") == 0)
        return set_int(&state->cuda_version, value);
    if (strcmp(key, "launch_policy") == 0) {
        int32_t policy;
        bool valid = set_int(&policy, value);
        state->launch_policy = valid ? (uint32_t)policy : GV_LAUNCH_ERROR;
        return valid;
    }
    if (strcmp(key, "faults") == 0) {
        int32_t faults;
        bool valid = set_int(&faults, value);
        state->faults = valid ? (uint32_t)faults : 0;
        return valid;
    }
    if (strcmp(key, "questions") == 0) {
        state->questions = strcmp(value, "1") == 0;
        return true;
    }
    return false;
}

static bool is_compute_mode(int32_t mode)
{
    return mode == GV_COMPUTE_DEFAULT || mode == GV_COMPUTE_PROHIBITED || mode == GV_COMPUTE_EXCLUSIVE_PROCESS;
}

/* Keys of a GPU alone. */
static bool set_device(struct gv_device *device, const char *key, const char *value)
{
    int32_t number;
    if (strcmp(key, "pci_bus_id") == 0)
        return copy_text(device->pci_bus_id, sizeof device->pci_bus_id, value);
    if (strcmp(key, "minor") == 0)
        return set_int(&device->minor, value);
    if (strcmp(key, "compute_capability") == 0)
        return sscanf(value, "%d.%d", &device->cc_major, &device->cc_minor) == 2;
    if (strcmp(key, "relative_speed") == 0) {
        uint64_t bits; /* of the double, in hexadecimal: nothing is lost on the way, whatever the locale */
        if (sscanf(value, "%llx", (unsigned long long *)&bits) != 1)
            return false;
        memcpy(&device->relative_speed, &bits, sizeof bits);
        return true;
    }
    if (!set_int(&number, value))
        return false;
    if (strcmp(key, "compute_mode") == 0 && is_compute_mode(number))
        atomic_store(&device->compute_mode, number);
    else if (strcmp(key, "faults") == 0)
        atomic_store(&device->faults, (uint32_t)number);
    else if (strcmp(key, "mig_enabled") == 0)
        device->mig_enabled = number != 0;
    else
        return false;
    return true;
}

/* Keys of GPUs and slices alike. */
static bool set_unit(struct gv_unit *unit, const char *key, const char *value, bool *known)
{
    *known = true;
    if (strcmp(key, "uuid") == 0)
        return copy_text(unit->uuid, sizeof unit->uuid, value);
    if (strcmp(key, "name") == 0)
        return copy_text(unit->name, sizeof unit->name, value);
    if (strcmp(key, "profile") == 0)
        return copy_text(unit->profile, sizeof unit->profile, value);
    if (strcmp(key, "memory") == 0)
        return set_memory(&unit->memory, value);
    if (strcmp(key, "multiprocessors") == 0)
        return set_int(&unit->multiprocessors, value);
    if (strcmp(key, "parent") == 0)
        return set_int(&unit->device, value);
    if (strcmp(key, "gpu_instance") == 0)
        return set_int(&unit->gpu_instance, value);
    if (strcmp(key, "compute_instance") == 0)
        return set_int(&unit->compute_instance, value);
    *known = false;
    return false;
}

static bool read_line(struct reading *reading, char *line)
{
    char *value = strchr(line, '=');
    if (!value)
        return false;
    *value++ = 0;
    if (strcmp(line, "device") == 0 || strcmp(line, "mig") == 0)
        return start_unit(reading, line[0] == 'm');
    if (!reading->unit)
        return set_machine(reading->state, line, value);
    bool known, set = set_unit(reading->unit, line, value, &known);
    return known ? set : set_device(reading->device, line, value);
}

/* What a GPU has as a unit, it has as a device too. */
static bool finish(struct gv_state *state)
{
    for (int i = 0; i < state->device_count; i++) {
        struct gv_device *device = &state->device[i];
        const struct gv_unit *unit = &state->unit[i];
        memcpy(device->uuid, unit->uuid, sizeof device->uuid);
        memcpy(device->name, unit->name, sizeof device->name);
        device->memory = unit->memory;
        device->multiprocessors = unit->multiprocessors;
    }
    for (int i = 0; i < state->unit_count; i++)
        if (state->unit[i].device < 0 || state->unit[i].device >= state->device_count)
            return false;
    return true;
}

static int read_description(struct gv_state *state, const char *description)
{
    char *text = strdup(description), *rest = text, *line;
    if (!text)
        return -ENOMEM;
    struct reading reading = {.state = state};
    bool valid = true;
    while (valid && (line = strsep(&rest, "\n")))
        valid = !*line || read_line(&reading, line);
    free(text);
    if (reading.full)
        return -E2BIG;
    return valid && finish(state) ? 0 : -EINVAL;
}

/* Makes a machine in an existing directory. `description` is lines `key=value`: first those of the machine, then
 * "device=" and what belongs to each GPU, in index order, then "mig=" and what belongs to each slice. -E2BIG: more of them
 * than a machine holds; -EINVAL: anything else in it is wrong; otherwise what gv_state_create returns. */
GV_API int gv_create(const char *directory, const char *description)
{
    struct gv_state *content = calloc(1, sizeof *content);
    if (!content)
        return -ENOMEM;
    int error = read_description(content, description);
    if (!error)
        error = gv_state_create(directory, content);
    free(content);
    return error;
}

/* ---- gv_snapshot ---- */

static void add_slice(struct gv_text *text, const struct gv_state *state, int unit)
{
    const struct gv_unit *slice = &state->unit[unit];
    gv_text_format(text, "{\"uuid\":");
    gv_text_json(text, slice->uuid);
    gv_text_format(text, ",\"name\":");
    gv_text_json(text, slice->name);
    gv_text_format(text, ",\"profile\":");
    gv_text_json(text, slice->profile);
    gv_text_format(text, ",\"gpu_instance\":%d,\"compute_instance\":%d,\"multiprocessors\":%d", slice->gpu_instance,
                   slice->compute_instance, slice->multiprocessors);
    gv_text_format(text, ",\"memory\":%llu,\"used\":%llu}", (unsigned long long)slice->memory,
                   (unsigned long long)gv_unit_used(state, unit));
}

struct fault_name {
    uint32_t bit; /* 0: the end of the list */
    const char *name;
};

static const struct fault_name device_faults[] = {{GV_FAULT_NVML_UNKNOWN, "nvml-unknown"},
                                                  {GV_FAULT_NVML_NO_PERMISSION, "nvml-no-permission"},
                                                  {GV_FAULT_GPU_LOST, "lost"},
                                                  {0, NULL}};
static const struct fault_name machine_faults[] = {{GV_FAULT_NOT_LOADED, "driver-not-loaded"},
                                                   {GV_FAULT_NO_NVML, "nvml-missing"},
                                                   {GV_FAULT_NVML_DENIED, "nvml-no-permission"},
                                                   {0, NULL}};

static void add_faults(struct gv_text *text, const struct fault_name *known, uint32_t faults)
{
    const char *separator = "";
    gv_text_format(text, ",\"faults\":[");
    for (; known->bit; known++) {
        if (!(faults & known->bit))
            continue;
        gv_text_format(text, "%s\"%s\"", separator, known->name);
        separator = ",";
    }
    gv_text_format(text, "]");
}

static const char *mode_name(int mode)
{
    switch (mode) {
    case GV_COMPUTE_PROHIBITED:
        return "prohibited";
    case GV_COMPUTE_EXCLUSIVE_PROCESS:
        return "exclusive-process";
    default:
        return "default";
    }
}

static void add_device(struct gv_text *text, const struct gv_state *state, int index)
{
    const struct gv_device *device = &state->device[index];
    gv_text_format(text, "{\"index\":%d,\"uuid\":", index);
    gv_text_json(text, device->uuid);
    gv_text_format(text, ",\"name\":");
    gv_text_json(text, device->name);
    gv_text_format(text, ",\"pci_bus_id\":");
    gv_text_json(text, device->pci_bus_id);
    gv_text_format(text, ",\"minor\":%d,\"memory\":%llu,\"used\":%llu,\"compute_mode\":\"%s\"", device->minor,
                   (unsigned long long)device->memory, (unsigned long long)gv_device_used(state, index),
                   mode_name(atomic_load(&device->compute_mode)));
    add_faults(text, device_faults, atomic_load(&device->faults));
    gv_text_format(text, ",\"compute_capability\":\"%d.%d\",\"multiprocessors\":%d,\"mig_enabled\":%s,\"mig\":[",
                   device->cc_major, device->cc_minor, device->multiprocessors,
                   device->mig_enabled ? "true" : "false");
    const char *separator = "";
    for (int unit = state->device_count; unit < state->unit_count; unit++) {
        if (state->unit[unit].device != index)
            continue;
        gv_text_format(text, "%s", separator);
        add_slice(text, state, unit);
        separator = ",";
    }
    gv_text_format(text, "]}");
}

static void add_process(struct gv_text *text, const struct gv_state *state, const struct gv_process *process,
                        const char **separator)
{
    for (int unit = 0; unit < state->unit_count; unit++) {
        const struct gv_usage *usage = &process->usage[unit];
        uint32_t contexts = atomic_load(&usage->contexts);
        uint64_t bytes = atomic_load(&usage->bytes);
        if (!contexts && !bytes)
            continue;
        gv_text_format(text, "%s{\"pid\":%d,\"start\":%llu,\"unit_uuid\":", *separator, atomic_load(&process->pid),
                       (unsigned long long)atomic_load(&process->start));
        gv_text_json(text, state->unit[unit].uuid);
        gv_text_format(text, ",\"contexts\":%u,\"bytes\":%llu}", contexts, (unsigned long long)bytes);
        *separator = ",";
    }
}

static void add_machine(struct gv_text *text, const struct gv_state *state)
{
    gv_text_format(text, "{\"inventory\":");
    gv_text_json(text, state->inventory);
    gv_text_format(text, ",\"driver_version\":");
    gv_text_json(text, state->driver_version);
    gv_text_format(text, ",\"cuda_version\":\"%d.%d\",\"launch\":\"%s\"", state->cuda_version / 1000,
                   state->cuda_version % 1000 / 10, state->launch_policy == GV_LAUNCH_NOOP ? "noop" : "error");
    add_faults(text, machine_faults, state->faults);
    gv_text_format(text, ",\"devices\":[");
    for (int i = 0; i < state->device_count; i++) {
        gv_text_format(text, "%s", i ? "," : "");
        add_device(text, state, i);
    }
    gv_text_format(text, "],\"processes\":[");
    const char *separator = "";
    for (int slot = 0, limit = atomic_load(&state->process_limit); slot < limit; slot++)
        if (gv_process_alive(&state->process[slot]))
            add_process(text, state, &state->process[slot], &separator);
    gv_text_format(text, "]}");
}

/* Writes the machine and its living processes as JSON, without a final NUL. Returns the JSON's length, also where that
 * is more than `size` and the buffer holds only its beginning. */
GV_API long gv_snapshot(const char *directory, char *buffer, size_t size)
{
    WITH_STATE(state, directory);
    struct gv_text text = {buffer, size, 0};
    add_machine(&text, state);
    return (long)text.length;
}

/* How many records the machine's ledger lacks, for they could not be written. */
GV_API long gv_lost_records(const char *directory)
{
    WITH_STATE(state, directory);
    uint64_t lost = atomic_load(&state->lost_records);
    return lost < LONG_MAX ? (long)lost : LONG_MAX;
}

/* How many kernel launches on the machine succeeded without anything having run, and how many failed. */
GV_API int gv_launches(const char *directory, uint64_t *skipped, uint64_t *refused)
{
    WITH_STATE(state, directory);
    *skipped = atomic_load(&state->skipped_launches);
    *refused = atomic_load(&state->refused_launches);
    return 0;
}

/* ---- what may change while a machine runs ---- */

GV_API int gv_set_launch_policy(const char *directory, int policy)
{
    WITH_STATE(state, directory);
    if (policy != GV_LAUNCH_ERROR && policy != GV_LAUNCH_NOOP)
        return -EINVAL;
    atomic_store(&state->launch_policy, (uint32_t)policy);
    return 0;
}

GV_API int gv_set_compute_mode(const char *directory, int device, int mode)
{
    WITH_STATE(state, directory);
    if (device < 0 || device >= state->device_count)
        return -ENODEV;
    if (!is_compute_mode(mode))
        return -EINVAL;
    atomic_store(&state->device[device].compute_mode, mode);
    return 0;
}

GV_API int gv_set_faults(const char *directory, int device, unsigned faults)
{
    WITH_STATE(state, directory);
    if (device < 0 || device >= state->device_count)
        return -ENODEV;
    atomic_store(&state->device[device].faults, faults);
    return 0;
}

/* ---- masks ---- */

/* For each of `count` values of CUDA_VISIBLE_DEVICES (NULL: not set), how many units it shows, into `counts`, and which,
 * into `units`, GV_MAX_UNITS entries for each value. */
GV_API int gv_resolve(const char *directory, const char *const *masks, size_t count, const char *order, int *counts,
                      int *units)
{
    WITH_STATE(state, directory);
    for (size_t i = 0; i < count; i++)
        counts[i] = gv_visible_units(state, masks[i], order, units + i * GV_MAX_UNITS);
    return 0;
}
