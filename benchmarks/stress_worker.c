/* One process of stress.py: opens and closes contexts and memory through libcuda.so.1 until it is told to stop, and
 * keeps count, in a file that outlives it, of what each call has answered.
 *
 * Usage: stress_worker COUNTS-FILE INDEX THREADS. Prints "idle" when it was told to stop and has closed everything,
 * and ends when its standard input does. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICES 4   /* as many ordinals are counted */
#define MEMORIES 4  /* held at once, by each context */

/* What stress.py reads as 1 + 2 * DEVICES * 3 numbers of 64 bits, little-endian, for each worker. */
struct counts {
    _Atomic uint64_t initialised;
    _Atomic uint64_t answered[2][DEVICES][3]; /* [context, alloc][ordinal][success, out of memory, unavailable] */
};

struct file {
    _Atomic uint64_t stop;
    struct counts worker[];
};

enum { CONTEXT, ALLOC };

static struct {
    int (*init)(unsigned);
    int (*count)(int *);
    int (*create)(void **, unsigned, int);
    int (*destroy)(void *);
    int (*alloc)(uint64_t *, size_t);
    int (*free)(uint64_t);
    int (*info)(size_t *, size_t *);
} cuda;

static struct file *file;
static struct counts *own;
static int devices;

static void fail(const char *what, int result)
{
    fprintf(stderr, "%s answered %d\n", what, result);
    _exit(3);
}

static void *find(const char *name)
{
    static void *library;
    if (!library && !(library = dlopen("libcuda.so.1", RTLD_NOW)))
        fail(dlerror(), 0);
    return dlsym(library, name);
}

static int answer(int event, int ordinal, int result, const char *what)
{
    static const int known[] = {0, 2, 46};
    for (int i = 0; i < 3; i++)
        if (result == known[i]) {
            atomic_fetch_add(&own->answered[event][ordinal][i], 1);
            return result;
        }
    fail(what, result);
    return result;
}

static void use_memory(int ordinal, unsigned *seed)
{
    uint64_t memory[MEMORIES] = {0};
    size_t available, total;
    for (int i = 0; i < 2 * MEMORIES; i++) {
        int which = rand_r(seed) % MEMORIES;
        if (memory[which] && cuda.free(memory[which]))
            fail("cuMemFree", 0);
        memory[which] = 0;
        size_t size = ((size_t)1 << 20) * (1 + (unsigned)rand_r(seed) % 4096);
        if (answer(ALLOC, ordinal, cuda.alloc(&memory[which], size), "cuMemAlloc"))
            memory[which] = 0;
    }
    if (cuda.info(&available, &total) || available > total)
        fail("cuMemGetInfo", 0);
    /* Half the time what is left goes with the context. */
    for (int i = 0; i < MEMORIES && rand_r(seed) % 2; i++)
        if (memory[i] && cuda.free(memory[i]))
            fail("cuMemFree", 0);
}

static void use_context(unsigned *seed)
{
    int ordinal = rand_r(seed) % devices;
    void *context;
    if (answer(CONTEXT, ordinal, cuda.create(&context, 0, ordinal), "cuCtxCreate"))
        return;
    use_memory(ordinal, seed);
    int result = cuda.destroy(context);
    if (result)
        fail("cuCtxDestroy", result);
}

static void *work(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    while (!atomic_load(&file->stop))
        use_context(&seed);
    return NULL;
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 4)
        return 2;
    int descriptor = open(arguments[1], O_RDWR), index = atoi(arguments[2]), threads = atoi(arguments[3]);
    size_t size = sizeof *file + (size_t)(index + 1) * sizeof *own;
    file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (file == MAP_FAILED)
        return 2;
    own = &file->worker[index];
    *(void **)&cuda.init = find("cuInit");
    *(void **)&cuda.count = find("cuDeviceGetCount");
    *(void **)&cuda.create = find("cuCtxCreate_v2");
    *(void **)&cuda.destroy = find("cuCtxDestroy_v2");
    *(void **)&cuda.alloc = find("cuMemAlloc_v2");
    *(void **)&cuda.free = find("cuMemFree_v2");
    *(void **)&cuda.info = find("cuMemGetInfo_v2");
    int result = cuda.init(0);
    if (result || cuda.count(&devices) || devices < 1 || devices > DEVICES)
        fail("cuInit", result);
    atomic_store(&own->initialised, 1);

    pthread_t thread[64];
    for (int i = 1; i < threads && i < 64; i++)
        if (pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)(index * 64 + i)))
            return 2;
    work((void *)(uintptr_t)(index * 64));
    for (int i = 1; i < threads && i < 64; i++)
        pthread_join(thread[i], NULL);
    puts("idle");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    return 0;
}
