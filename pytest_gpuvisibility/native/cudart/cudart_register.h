/* What compiled programs tell the runtime of themselves while they are loaded. */
#ifndef GPUVISIBILITY_CUDART_REGISTER_H
#define GPUVISIBILITY_CUDART_REGISTER_H

#include "cudart_internal.h"

/* A kernel, by the address of the host's function of that name. */
struct gv_function {
    const void *host;
    const char *name; /* of the program's own, as long as it is loaded */
    CUkernel kernel;  /* once it has been asked for */
};

/* A variable of the device, by the address of the host's of that name. */
struct gv_variable {
    const void *host;
    const char *name;
    size_t size;
};

/* Both NULL where the address is not known. A function's is good until its program is unloaded. */
struct gv_function *gv_registered_function(const void *host);
const struct gv_variable *gv_registered_variable(const void *host);

#endif
