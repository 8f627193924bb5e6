/* Threads that do everything at once with the CUDA runtime, for the sanitizers: cudart_threads ROUNDS THREADS.
 *
 * They register fat binaries and kernels and forget them, as libraries do that are loaded and unloaded, launch kernels of
 * their own, and use memory, streams, events, pools and devices in between. Ends with 0 unless an answer is wrong.
 *
 * Meanwhile the process forks, for which the driver takes all its locks in their order (native/core/locks.h): so
 * ThreadSanitizer hears of whoever takes two of them in another. */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void **__cudaRegisterFatBinary(void *image);
void __cudaRegisterFatBinaryEnd(void **handle);
void __cudaUnregisterFatBinary(void **handle);
void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name, int thread_limit,
                            uint3 *tid, uint3 *bid, dim3 *block, dim3 *grid, int *warp_size);

#define KERNELS 50
#define FORKS 5
#define CHECK(call)                                                                                \
    do {                                                                                           \
        cudaError_t error = (call);                                                                \
        if (error != cudaSuccess) {                                                                \
            fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error));                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int rounds;

static void use_kernels(void)
{
    static _Thread_local char code[KERNELS];
    void **binary = __cudaRegisterFatBinary("");
    for (int i = 0; i < KERNELS; i++)
        __cudaRegisterFunction(binary, &code[i], "", "kernel", -1, NULL, NULL, NULL, NULL, NULL);
    __cudaRegisterFatBinaryEnd(binary);
    const dim3 grid = {1, 1, 1}, block = {32, 1, 1};
    for (int i = 0; i < KERNELS; i++)
        CHECK(cudaLaunchKernel(&code[i], grid, block, NULL, 0, NULL));
    __cudaUnregisterFatBinary(binary);
    if (cudaLaunchKernel(&code[0], grid, block, NULL, 0, NULL) != cudaErrorInvalidDeviceFunction)
        exit(2);
    if (cudaGetLastError() != cudaErrorInvalidDeviceFunction || cudaGetLastError() != cudaSuccess)
        exit(3);
}

static void use_memory(cudaStream_t stream)
{
    char from[1000], to[1000];
    void *one, *other;
    struct cudaPointerAttributes attributes;
    memset(from, 7, sizeof from);
    CHECK(cudaMalloc(&one, sizeof from));
    CHECK(cudaMallocAsync(&other, sizeof from, stream));
    CHECK(cudaMemcpyAsync(one, from, sizeof from, cudaMemcpyHostToDevice, stream));
    CHECK(cudaMemcpyAsync(other, one, sizeof from, cudaMemcpyDeviceToDevice, stream));
    CHECK(cudaMemcpy(to, other, sizeof to, cudaMemcpyDeviceToHost));
    CHECK(cudaPointerGetAttributes(&attributes, one));
    if (memcmp(from, to, sizeof to) != 0 || attributes.type != cudaMemoryTypeDevice)
        exit(4);
    CHECK(cudaFreeAsync(other, stream));
    CHECK(cudaFree(one));
}

static void *work(void *number)
{
    int count, device = 0;
    CHECK(cudaGetDeviceCount(&count));
    for (int i = 0; i < rounds; i++) {
        cudaStream_t stream;
        cudaEvent_t event;
        CHECK(cudaSetDevice(((int)(size_t)number + i) % count));
        CHECK(cudaGetDevice(&device));
        CHECK(cudaStreamCreate(&stream));
        CHECK(cudaEventCreate(&event));
        use_memory(stream);
        use_kernels();
        CHECK(cudaEventRecord(event, stream));
        CHECK(cudaStreamWaitEvent(stream, event, 0));
        CHECK(cudaEventSynchronize(event));
        CHECK(cudaEventDestroy(event));
        CHECK(cudaStreamDestroy(stream));
        if (cudaMemcpy(NULL, NULL, 1, (enum cudaMemcpyKind)9) != cudaErrorInvalidMemcpyDirection)
            exit(5);
        cudaGetLastError();
    }
    return NULL;
}

int main(int arguments, char **words)
{
    if (arguments != 3)
        return 6;
    rounds = atoi(words[1]);
    int threads = atoi(words[2]);
    pthread_t *thread = calloc((size_t)threads, sizeof *thread);
    for (int i = 0; i < threads; i++)
        pthread_create(&thread[i], NULL, work, (void *)(size_t)i);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        if (child < 0 || waitpid(child, NULL, 0) != child)
            exit(7);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    free(thread);
    return 0;
}
