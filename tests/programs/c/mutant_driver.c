/* A libcuda.so.1 with a fault, for tests/conformance/test_driver.py: the library that MUTANT_OF names. But where
   CUDA_VISIBLE_DEVICES is MUTANT_WHEN (or that is "*"), cuInit fails with MUTANT_RESULT; or, where that is unset, reads
   MUTANT_MASK instead; or, where that is unset too, sees no mask. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static void *original(const char *name)
{
    static void *library;
    if (!library)
        library = dlopen(getenv("MUTANT_OF"), RTLD_NOW | RTLD_LOCAL);
    return dlsym(library, name);
}

int cuInit(unsigned flags)
{
    const char *when = getenv("MUTANT_WHEN"), *given = getenv("CUDA_VISIBLE_DEVICES");
    const char *instead = getenv("MUTANT_MASK"), *result = getenv("MUTANT_RESULT");
    if (!strcmp(when, "*") || (given && !strcmp(when, given))) {
        if (result)
            return atoi(result);
        if (instead)
            setenv("CUDA_VISIBLE_DEVICES", instead, 1);
        else
            unsetenv("CUDA_VISIBLE_DEVICES");
    }
    return ((int (*)(unsigned))original("cuInit"))(flags);
}

int cuDeviceGetCount(int *count)
{
    return ((int (*)(int *))original("cuDeviceGetCount"))(count);
}

int cuDeviceGetUuid_v2(void *uuid, int device)
{
    return ((int (*)(void *, int))original("cuDeviceGetUuid_v2"))(uuid, device);
}

int cuDeviceGetName(char *name, int size, int device)
{
    return ((int (*)(char *, int, int))original("cuDeviceGetName"))(name, size, device);
}

int cuDeviceGetPCIBusId(char *bus, int size, int device)
{
    return ((int (*)(char *, int, int))original("cuDeviceGetPCIBusId"))(bus, size, device);
}
