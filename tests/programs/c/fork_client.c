/* Forks again and again while threads use the simulated driver: fork_client WHAT CHILDREN
 *
 *   nvml       the threads start and stop NVML and make event sets; so does each child
 *   cuda       the threads use CUDA, of which a child has nothing: its cuInit is CUDA_ERROR_NOT_INITIALIZED
 *   unseen     the threads start CUDA, which shows them no device; a child asks for one, and uses it
 *   cudart     the threads register kernels and look for them; so does each child
 *   handlers   ... and the handlers that the program itself has set for a fork use NVML, in parent and child
 *   callbacks  no threads: the parent's callbacks have run, CUDA has forgotten its machine, as the plugin lets it, and
 *              starts anew on the machine NOTHING_SHOWN, where it sees no device; a child starts it on the first machine again, and waits for a callback of its own
 *
 * Prints "CHILDREN of CHILDREN ended well". A child that has not ended after LONGEST seconds is killed by its alarm and
 * is the last, and so is a parent that cannot fork. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONGEST 20
#define THREADS 3
#define ROUNDS 3 /* of a child */

typedef unsigned long long address;

/* Found before there are threads: the linker has locks too. */
#define FUNCTIONS(NVML, CUDA, CUDART)                                                                     \
    NVML(nvmlInit_v2, void)                                                                               \
    NVML(nvmlShutdown, void)                                                                              \
    NVML(nvmlEventSetCreate, void **)                                                                     \
    NVML(nvmlEventSetFree, void *)                                                                        \
    CUDA(cuInit, unsigned)                                                                                \
    CUDA(cuDevicePrimaryCtxRetain, void **, int)                                                          \
    CUDA(cuDevicePrimaryCtxRelease_v2, int)                                                               \
    CUDA(cuCtxSetCurrent, void *)                                                                         \
    CUDA(cuMemAlloc_v2, address *, size_t)                                                                \
    CUDA(cuMemFree_v2, address)                                                                           \
    CUDA(cuMemAllocAsync, address *, size_t, void *)                                                      \
    CUDA(cuMemFreeAsync, address, void *)                                                                 \
    CUDA(cuMemcpyHtoDAsync_v2, address, const void *, size_t, void *)                                     \
    CUDA(cuMemAddressReserve, address *, size_t, size_t, address, address)                                \
    CUDA(cuMemAddressFree, address, size_t)                                                               \
    CUDA(cuStreamCreate, void **, unsigned)                                                               \
    CUDA(cuStreamDestroy_v2, void *)                                                                      \
    CUDA(cuStreamSynchronize, void *)                                                                     \
    CUDA(cuLaunchHostFunc, void *, void (*)(void *), void *)                                              \
    CUDA(cuGetExportTable, const void **, const void *)                                                   \
    CUDART(__cudaRegisterFatBinary, void *)                                                               \
    CUDART(__cudaRegisterFunction, void *, const char *, char *, const char *, int, void *, void *, void *, void *, \
           int *)                                                                                         \
    CUDART(__cudaUnregisterFatBinary, void *)                                                             \
    CUDART(cudaFuncGetName, const char **, const void *)

#define DECLARE(name, ...) static long (*name)(__VA_ARGS__);
FUNCTIONS(DECLARE, DECLARE, DECLARE)

static void find_functions(void)
{
    void *nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW), *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    void *runtime = dlopen("libcudart.so.13", RTLD_NOW);
#define OF_NVML(name, ...) name = (long (*)(__VA_ARGS__))dlsym(nvml, #name);
#define OF_CUDA(name, ...) name = (long (*)(__VA_ARGS__))dlsym(cuda, #name);
#define OF_CUDART(name, ...) name = (long (*)(__VA_ARGS__))dlsym(runtime, #name);
    FUNCTIONS(OF_NVML, OF_CUDA, OF_CUDART)
}

static int start_cuda(void)
{
    return (int)cuInit(0);
}

static bool use_nvml(void)
{
    void *set = NULL;
    bool well = (int)nvmlInit_v2() == 0 && (int)nvmlEventSetCreate(&set) == 0 && (int)nvmlEventSetFree(set) == 0;
    return (int)nvmlShutdown() == 0 && well;
}

#define STRAY ((void *)64) /* no stream, but the driver has to look for it */

static void call_back(void *called)
{
    *(volatile bool *)called = true;
}

/* Whatever CUDA answers: in a child it refuses everything. */
static bool use_cuda(void)
{
    void *context = NULL, *stream = NULL;
    address memory = 0, pooled = 0, reserved = 0;
    static __thread bool called;
    start_cuda();
    cuDevicePrimaryCtxRetain(&context, 0);
    cuCtxSetCurrent(context);
    cuStreamCreate(&stream, 0);
    cuMemAlloc_v2(&memory, 4096);
    cuMemAllocAsync(&pooled, 4096, stream);
    cuMemcpyHtoDAsync_v2(memory, "copied", 6, stream ? stream : STRAY);
    cuMemAddressReserve(&reserved, 1 << 21, 0, 0, 0);
    cuMemAddressFree(reserved, 1 << 21);
    called = false;
    cuLaunchHostFunc(stream, call_back, (void *)&called);
    bool waited = (int)cuStreamSynchronize(stream) == 0;
    cuMemFreeAsync(pooled, stream);
    cuMemFree_v2(memory);
    cuStreamDestroy_v2(stream);
    cuGetExportTable(NULL, NULL); /* refused: a record in the ledger */
    return !context || (waited && called);
}

static bool use_runtime(void)
{
    static __thread char kernel[8];
    const char *name = NULL;
    void *binary = (void *)__cudaRegisterFatBinary("");
    for (int i = 0; i < 8; i++)
        __cudaRegisterFunction(binary, &kernel[i], "", "kernel", -1, NULL, NULL, NULL, NULL, NULL);
    bool found = (int)cudaFuncGetName(&name, &kernel[3]) == 0 && strcmp(name, "kernel") == 0;
    __cudaUnregisterFatBinary(binary);
    return found;
}

static const char *what;

static bool is_mode(const char *mode)
{
    return strcmp(what, mode) == 0;
}

static void use_in_thread(bool first)
{
    if (is_mode("nvml") || is_mode("handlers"))
        use_nvml();
    else if (is_mode("unseen"))
        start_cuda();
    else if (is_mode("cudart"))
        use_runtime();
    else if (first) /* no lock is held for a shorter time */
        cuMemcpyHtoDAsync_v2(0, "", 1, STRAY);
    else
        use_cuda();
}

static bool use_in_child(void)
{
    if (is_mode("nvml") || is_mode("handlers"))
        return use_nvml();
    if (is_mode("cudart"))
        return !use_runtime(); /* CUDA does not survive a fork */
    bool well = use_cuda();
    return well && start_cuda() == (is_mode("cuda") ? 3 : 0);
}

static void *use_for_ever(void *first)
{
    for (;;)
        use_in_thread(first != NULL);
    return NULL;
}

/* What must have ended before a fork, or may differ after it. */
static void prepare_parent(void)
{
    if (is_mode("cuda") || is_mode("cudart") || is_mode("callbacks"))
        use_cuda();
    if (is_mode("callbacks")) {
        void *driver = dlopen("libcuda.so.1", RTLD_NOW);
        void (*forget)(void) = (void (*)(void))dlsym(driver, "gv_cuda_forget");
        cuDevicePrimaryCtxRelease_v2(0);
        if (!forget)
            exit(4);
        forget();
        setenv("FIRST_MACHINE", getenv("GPU_VISIBILITY_MACHINE"), 1);
        setenv("GPU_VISIBILITY_MACHINE", getenv("NOTHING_SHOWN"), 1);
        if (start_cuda() != 100)
            exit(3);
    }
}

static void prepare_child(void)
{
    if (is_mode("unseen"))
        setenv("CUDA_VISIBLE_DEVICES", "0", 1);
    if (is_mode("callbacks"))
        setenv("GPU_VISIBILITY_MACHINE", getenv("FIRST_MACHINE"), 1);
}

static void use_nvml_at_fork(void)
{
    use_nvml();
}

static bool child_ends_well(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        bool well = true;
        alarm(LONGEST);
        prepare_child();
        for (int round = 0; round < ROUNDS; round++)
            well = use_in_child() && well;
        _exit(well ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    what = arguments[1];
    int children = atoi(arguments[2]), well = 0;
    if (is_mode("handlers")) /* before the libraries set theirs, so that these run when those have begun */
        pthread_atfork(use_nvml_at_fork, use_nvml_at_fork, use_nvml_at_fork);
    find_functions();
    prepare_parent();
    for (int i = 0; i < THREADS && !is_mode("callbacks"); i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, use_for_ever, i == 0 ? &thread : NULL);
    }
    do
        alarm(2 * LONGEST);
    while (child_ends_well() && ++well < children);
    printf("%d of %d ended well\n", well, children);
    fflush(stdout);
    _exit(0);
}
