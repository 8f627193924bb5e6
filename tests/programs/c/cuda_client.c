/* A client of libcuda.so.1 in C, as a program writes it that loads the driver itself: no header, no Python.
 *
 *     cuda_client PATH      PATH: libcuda.so.1, or where it is
 *
 * Prints, a line each, what was asked and CUDA's answer. Ends with 0 unless the library cannot be loaded. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

static void *library;
static long result;

/* Calls a function by name; all arguments are as wide as a pointer. */
#define CALL(name, ...)                                                                     \
    do {                                                                                    \
        long (*function)(__VA_OPT__(ARGUMENTS)) = (long (*)())dlsym(library, name);         \
        result = function ? (int)function(__VA_ARGS__) : -1;                                \
        printf("%s %ld\n", name, result);                                                   \
    } while (0)
#define ARGUMENTS

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void touch_device(void)
{
    void *context = NULL, *stream = NULL, *module = NULL, *function = NULL;
    uint64_t memory = 0, pooled = 0;
    char text[16] = "";
    CALL("cuDevicePrimaryCtxRetain", &context, (intptr_t)0);
    CALL("cuCtxSetCurrent", context);
    CALL("cuStreamCreate", &stream, (intptr_t)0);
    CALL("cuMemAlloc_v2", &memory, (intptr_t)4096);
    CALL("cuMemAllocAsync", &pooled, (intptr_t)4096, stream);
    CALL("cuMemcpyHtoDAsync_v2", memory, "written", (intptr_t)8, stream);
    CALL("cuMemcpyDtoDAsync_v2", pooled, memory, (intptr_t)8, stream);
    CALL("cuMemcpyDtoHAsync_v2", text, pooled, (intptr_t)8, stream);
    CALL("cuStreamSynchronize", stream);
    printf("text %s\n", text);
    CALL("cuModuleLoadData", &module, "not code");
    CALL("cuModuleGetFunction", &function, module, "kernel");
    CALL("cuLaunchKernel", function, (intptr_t)1, (intptr_t)1, (intptr_t)1, (intptr_t)1, (intptr_t)1, (intptr_t)1,
         (intptr_t)0, stream, NULL, NULL);
    CALL("cuMemFreeAsync", pooled, stream);
    CALL("cuMemFree_v2", memory);
    CALL("cuDevicePrimaryCtxRelease_v2", (intptr_t)0);
}

int main(int count, char **arguments)
{
    library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    if (!library)
        return 1;
    printf("secure %lu\n", getauxval(AT_SECURE));
    double before = milliseconds();
    CALL("cuInit", (intptr_t)0);
    fprintf(stderr, "%f\n", milliseconds() - before);
    if (result == 0)
        touch_device();
    return 0;
}
