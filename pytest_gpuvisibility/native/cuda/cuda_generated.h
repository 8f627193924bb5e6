/* Tables that generate_stubs.py writes from NVIDIA's headers. */
#ifndef GPUVISIBILITY_CUDA_GENERATED_H
#define GPUVISIBILITY_CUDA_GENERATED_H

#include <stdbool.h>
#include <stddef.h>

/* What cuGetProcAddress answers from: one row for each base name and CUDA version, in ascending order. */
struct gv_address {
    const char *base; /* "cuMemAlloc" */
    int version;      /* the CUDA version from which on the base name means this ABI */
    bool per_thread;  /* the variant for the per-thread default stream */
    void *function;
};
extern const struct gv_address gv_address[];
extern const size_t gv_address_count;

struct gv_error {
    int code;
    const char *name, *meaning; /* "CUDA_ERROR_OUT_OF_MEMORY", "out of memory" */
};
extern const struct gv_error gv_error[];
extern const size_t gv_error_count;

#endif
