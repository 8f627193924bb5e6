/* Tables that generate_stubs.py writes from NVIDIA's headers. */
#ifndef GPUVISIBILITY_CUDART_GENERATED_H
#define GPUVISIBILITY_CUDART_GENERATED_H

#include <stddef.h>

struct gv_runtime_error {
    int code;
    const char *name, *meaning; /* "cudaErrorMemoryAllocation", "out of memory" */
};
extern const struct gv_runtime_error gv_runtime_error[];
extern const size_t gv_runtime_error_count;

#endif
