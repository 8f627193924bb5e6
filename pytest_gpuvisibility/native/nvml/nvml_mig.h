/* What the parts of MIG share. How a machine's GPUs are cut is part of its inventory and does not change: what creates
 * and destroys instances is not supported. */
#ifndef GPUVISIBILITY_NVML_MIG_H
#define GPUVISIBILITY_NVML_MIG_H

#include "nvml_internal.h"

enum { GV_MOST_SLICES = 7, GV_MEMORY_SLICES = 8 /* of a GPU */ };

bool gv_mig_is_offered(const struct gv_target *target); /* whether the GPU could be cut */

/* "1c.3g.71gb" is a compute instance of 1 slice in a GPU instance of 3; "3g.71gb" has all 3. */
void gv_mig_read_profile(const char *profile, unsigned int *compute_slices, unsigned int *gpu_slices);

/* What a GPU instance has besides multiprocessors and memory. */
struct gv_mig_engines {
    unsigned int copy, decoder, jpeg, ofa;
};
struct gv_mig_engines gv_mig_engines_of(const struct gv_device *device, unsigned int gpu_slices,
                                        unsigned int memory_slices);

/* What a GPU can be cut into. */
struct gv_mig_profile {
    unsigned int index; /* NVML_GPU_INSTANCE_PROFILE_... */
    unsigned int id;    /* that the GPU gives it */
    unsigned int gpu_slices, memory_slices, instances; /* instances: how many a whole GPU makes */
};
const struct gv_mig_profile *gv_mig_profile_of(const struct gv_target *target);
/* By its index, or by its id. */
nvmlReturn_t gv_mig_find_profile(nvmlDevice_t device, unsigned int number, bool by_id, const void *output,
                                 struct gv_target *target, const struct gv_mig_profile **found);
unsigned int gv_mig_multiprocessors_of(const struct gv_device *device, const struct gv_mig_profile *profile);
void gv_mig_name_profile(const struct gv_device *device, const struct gv_mig_profile *profile, char *name, size_t size);

#endif
