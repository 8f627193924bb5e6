/* What the parts of libnvidia-ml.so.1 share.
 *
 * NVML shows every GPU of the machine, whatever CUDA_VISIBLE_DEVICES says. A handle is an address behind which
 * there is nothing, so it stays valid from one initialisation to the next, and any other pointer is recognised, also
 * what was a handle on a machine that this process was on before.
 *
 * To add a function, define it in any nvml_*.c with nvml.h's prototype: the weak stub of its name yields, and the tests
 * that walk the symbol table take it in. Open the handle first (gv_nvml_gpu, gv_nvml_unit for what slices have too;
 * gv_nvml_open without one): that answers for strays, sick GPUs and a NULL output. Then look at the version, if its
 * structure has one, and at the other arguments. Programs are older than nvml.h: write no further than the structure
 * went that the name was first called with, and give a structure a HAS_SIZE in nvml_abi.c. Another name of the same
 * function is a SAME_AS. */
#ifndef GPUVISIBILITY_NVML_INTERNAL_H
#define GPUVISIBILITY_NVML_INTERNAL_H

/* Without it the header renames the unversioned functions away, and they could not be defined. */
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#pragma GCC visibility push(default)
#include <nvml.h>
#pragma GCC visibility pop

#include <string.h>

#include "core/same_as.h"
#include "core/state.h"

/* Ends the function with what a call returned, unless that is success. */
#define TRY(call)                         \
    do {                                  \
        nvmlReturn_t tried = (call);      \
        if (tried != NVML_SUCCESS)        \
            return tried;                 \
    } while (0)

struct gv_target {
    struct gv_state *state;
    struct gv_device *device;
    const struct gv_unit *unit;
    int unit_index, device_index; /* equal for a whole GPU */
};

/* The machine; NVML_ERROR_UNINITIALIZED before nvmlInit. */
nvmlReturn_t gv_nvml_machine(struct gv_state **state);
/* ... and NVML_ERROR_INVALID_ARGUMENT where there is no place for the answer. */
nvmlReturn_t gv_nvml_open(const void *output, struct gv_state **state);

/* What a handle stands for, or the error that the call must return: uninitialised, `output` is NULL, not a handle,
 * the fault of a sick GPU. gv_nvml_gpu: a MIG slice's handle is NVML_ERROR_NOT_SUPPORTED. */
nvmlReturn_t gv_nvml_unit(nvmlDevice_t handle, const void *output, struct gv_target *target);
nvmlReturn_t gv_nvml_gpu(nvmlDevice_t handle, const void *output, struct gv_target *target);

/* For what servers choose or size by: its memory, its neighbours, the processors near it. On a machine that records
 * questions the ledger says that this process asked; elsewhere it costs a comparison. gv_nvml_gpu_asked: of a GPU. */
nvmlReturn_t gv_nvml_asked(nvmlReturn_t result, const struct gv_target *target, const char *kind);
nvmlReturn_t gv_nvml_gpu_asked(nvmlDevice_t handle, const void *output, struct gv_target *target, const char *kind);

/* Handles stand for units: a GPU instance's for that of its first slice, a compute instance's for its own. */
enum gv_nvml_handles { GV_NVML_DEVICES, GV_NVML_GPU_INSTANCES, GV_NVML_COMPUTE_INSTANCES, GV_NVML_HANDLES };

/* The unit that a handle stands for, far beyond any where it is none of the kind; and the handle of a unit. */
uintptr_t gv_nvml_position(enum gv_nvml_handles kind, const void *handle);
void *gv_nvml_at(enum gv_nvml_handles kind, int unit);

/* The handle of a unit; the fault of its GPU where it has one. */
nvmlReturn_t gv_nvml_handle(const struct gv_state *state, int unit, nvmlDevice_t *handle);
/* ... whether its GPU has a fault or not. */
nvmlDevice_t gv_nvml_handle_at(int unit);

/* "[domain:]bus:device[.function]" in hexadecimal, of any case and width. */
struct gv_pci_address {
    unsigned int domain, bus, device, function;
};
bool gv_nvml_read_pci(const char *text, struct gv_pci_address *address);

/* Opens a GPU for a reading that only some products have. */
nvmlReturn_t gv_nvml_open_where(bool (*supported)(const struct gv_target *), nvmlDevice_t device, const void *output,
                                struct gv_target *target);
bool gv_nvml_has_ecc(const struct gv_target *target);
bool gv_nvml_remaps_rows(const struct gv_target *target); /* from Ampere on */
bool gv_nvml_has_memory_sensor(const struct gv_device *device);

long long gv_nvml_now(void); /* microseconds since 1970, as NVML stamps its samples */
unsigned long long gv_nvml_energy(const struct gv_target *target); /* mJ */

unsigned int gv_nvml_memory_slices(const struct gv_target *target); /* eighths of its GPU's memory */

bool gv_nvml_is_slice(const struct gv_target *target);
/* NVML_ERROR_DEPRECATED from the driver branch on in which NVML gave the function up (590), else success. */
nvmlReturn_t gv_nvml_given_up(const struct gv_state *state);
/* NVML_ERROR_INSUFFICIENT_SIZE where the text and its NUL do not fit. Here, for what a monitor asks most is a text. */
static inline nvmlReturn_t gv_nvml_text(char *output, unsigned int length, const char *text)
{
    size_t size = strlen(text) + 1;
    if (length < size)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(output, text, size);
    return NVML_SUCCESS;
}

/* ---- what is true of a product, and not of one machine ---- */

/* Degrees C. From Ada on a GPU has no thresholds: it says how far below the limit (T.Limit) each event is. */
struct gv_thresholds {
    int shutdown, slowdown, highest, target;
};

/* A 0 or NULL in what follows bus_width: no such number is known, and the architecture decides. */
struct gv_model {
    const char *match; /* part of the name */
    unsigned int pci_device, pci_subsystem;
    unsigned int power_limit, power_minimum, power_idle; /* W */
    unsigned int graphics_clock, memory_clock;           /* MHz, the highest */
    unsigned int bus_width;                              /* bits */
    unsigned int power_highest;                          /* W, where it is above power_limit */
    unsigned int video_clock, idle_clock;                /* MHz */
    unsigned int memory_clocks[4];                       /* MHz: those below memory_clock */
    unsigned int low_memory_limit;                       /* MHz: the highest graphics clock with the lowest of them */
    unsigned int reserved, bar1;                         /* MiB */
    unsigned int remap_banks;
    struct gv_thresholds thresholds;
    const char *board_part, *vbios, *inforom;
    bool fabric; /* on an NVSwitch board */
};

const struct gv_model *gv_model_of(const struct gv_device *device);
nvmlBrandType_t gv_model_brand(const struct gv_device *device);
nvmlDeviceArchitecture_t gv_model_architecture(const struct gv_device *device);
bool gv_model_is_consumer(const struct gv_device *device); /* has fans and display outputs; no ECC, no serial number */
bool gv_model_has_mig(const struct gv_device *device);
unsigned int gv_model_cores_per_multiprocessor(const struct gv_device *device);
unsigned int gv_model_pcie_generation(const struct gv_device *device);
struct gv_thresholds gv_model_thresholds(const struct gv_device *device);
bool gv_model_counts_from_limit(const struct gv_device *device); /* its thresholds are distances from T.Limit */
bool gv_model_retires_pages(const struct gv_device *device);     /* before Ampere; later ones remap rows */
uint64_t gv_model_reserved_memory(const struct gv_device *device);
uint64_t gv_model_bar1(const struct gv_device *device);
const char *gv_model_vbios(const struct gv_device *device);
const char *gv_model_inforom(const struct gv_device *device);
/* A number made from the UUID, so that it is the same at every call. */
uint64_t gv_model_hash(const struct gv_device *device);
/* 13 digits made from the UUID, so that it is the same at every call. */
void gv_model_serial(const struct gv_device *device, char serial[NVML_DEVICE_SERIAL_BUFFER_SIZE]);

#endif
