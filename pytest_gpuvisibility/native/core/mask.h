/* What CUDA_VISIBLE_DEVICES means: the same answers as pytest_gpuvisibility/masks's default outcome. */
#ifndef GPUVISIBILITY_MASK_H
#define GPUVISIBILITY_MASK_H

#include "state.h"

/* The units that a CUDA process sees, in its order, under these values of CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER
 * (NULL: not set). Returns how many; at most GV_MAX_UNITS. */
int gv_visible_units(const struct gv_state *state, const char *mask, const char *order, int units[GV_MAX_UNITS]);

#endif
