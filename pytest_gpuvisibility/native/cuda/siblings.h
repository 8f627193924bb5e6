/* What libcuda.so.1 does for the other libraries of the simulated driver, beside its documented interface: it knows the
 * process's mask and current device. */
#ifndef GPUVISIBILITY_SIBLINGS_H
#define GPUVISIBILITY_SIBLINGS_H

#pragma GCC visibility push(default)

/* Records that `function`, a constant, is not offered. CUDA_ERROR_NOT_SUPPORTED. */
int gv_driver_refuse(const char *function);

/* cuInit, for a CUDA runtime. A CUresult. */
int gv_driver_init_for_runtime(void);

#pragma GCC visibility pop

#endif
