/* Measures for driver_speed.py. Usage: driver_speed WHAT LIBRARY [ROUNDS]; prints nanoseconds for one: the fastest of
 * BATCHES, for other programs on the machine only ever make one slower.
 *   load     dlopen and nvmlInit, in this new process
 *   cuinit   cuInit, of a library that is loaded
 *   memory   nvmlDeviceGetMemoryInfo     uuid     nvmlDeviceGetUUID      (of all devices in turn)
 *   hold     a context and 1 MiB on device ROUNDS: prints "ready", and ends with its standard input
 *   record   one ledger record of this process's machine; then one write(2) of as many bytes, and how many (LIBRARY: any) */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/ledger.h"

#define BATCHES 20

typedef struct { unsigned long long total, free, used; } memory_info;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double least(double one, double other)
{
    return one < other ? one : other;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *open_library(const char *path)
{
    void *library = dlopen(path, RTLD_LAZY); /* lazily: not every peer has all its symbols */
    if (!library)
        fail(dlerror());
    return library;
}

static void *find(void *library, const char *name)
{
    void *function = dlsym(library, name);
    if (!function)
        fail(dlerror());
    return function;
}

static int start_nvml(void *library, void **devices, int most)
{
    int (*init)(void) = (int (*)(void))find(library, "nvmlInit_v2");
    int (*get_count)(unsigned *) = (int (*)(unsigned *))find(library, "nvmlDeviceGetCount_v2");
    int (*get)(unsigned, void **) = (int (*)(unsigned, void **))find(library, "nvmlDeviceGetHandleByIndex_v2");
    unsigned count = 0;
    if (init() || get_count(&count) || count == 0 || (int)count > most)
        fail("NVML does not initialise");
    for (unsigned i = 0; i < count; i++)
        if (get(i, &devices[i]))
            fail("a device has no handle");
    return (int)count;
}

static double measure_nvml(const char *path, int rounds, int memory)
{
    void *library = open_library(path), *devices[64];
    int count = start_nvml(library, devices, 64), failed = 0;
    int (*get_memory)(void *, memory_info *) =
        (int (*)(void *, memory_info *))find(library, "nvmlDeviceGetMemoryInfo");
    int (*get_uuid)(void *, char *, unsigned) =
        (int (*)(void *, char *, unsigned))find(library, "nvmlDeviceGetUUID");
    memory_info info;
    char uuid[96];
    double fastest = 1e18;
    for (int batch = 0; batch < BATCHES; batch++) {
        double start = now();
        for (int i = 0; i < rounds; i++)
            failed |= memory ? get_memory(devices[i % count], &info) : get_uuid(devices[i % count], uuid, sizeof uuid);
        fastest = least(fastest, now() - start);
    }
    if (failed)
        fail("a call failed");
    return fastest / rounds;
}

static void hold(const char *path, int device)
{
    void *library = open_library(path), *context;
    unsigned long long address;
    if (((int (*)(unsigned))find(library, "cuInit"))(0) ||
        ((int (*)(void **, int))find(library, "cuDevicePrimaryCtxRetain"))(&context, device) ||
        ((int (*)(void *))find(library, "cuCtxSetCurrent"))(context) ||
        ((int (*)(unsigned long long *, size_t))find(library, "cuMemAlloc_v2"))(&address, 1 << 20))
        fail("cannot hold memory");
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF)
        continue;
}

/* Each record differs from those before, so each is written. */
static void measure_records(int rounds)
{
    struct gv_state *state = gv_machine();
    char path[4096], line[4096];
    if (!state)
        fail("no machine");
    struct gv_record record = {
        .event = GV_EVENT_ALLOC, .unit = &state->unit[0], .visible_devices = "0,1", .bytes = 1 << 20};
    gv_ledger_write(&record);
    double fastest = 1e18, plain = 1e18;
    for (int batch = 0; batch < BATCHES; batch++) {
        double start = now();
        for (int i = 0; i < rounds; i++) {
            record.result++;
            gv_ledger_write(&record);
        }
        fastest = least(fastest, now() - start);
    }
    struct stat status;
    snprintf(path, sizeof path, "%s/ledger.jsonl", gv_machine_directory());
    if (stat(path, &status))
        fail("no ledger");
    size_t length = (size_t)status.st_size / (size_t)(BATCHES * rounds + 1);
    memset(line, 'x', sizeof line);
    snprintf(path, sizeof path, "%s/plain", gv_machine_directory());
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    for (int batch = 0; batch < BATCHES; batch++) {
        double start = now();
        for (int i = 0; i < rounds; i++)
            if (write(file, line, length) != (ssize_t)length)
                fail("cannot write");
        plain = least(plain, now() - start);
    }
    printf("%.1f %.1f %zu\n", fastest / rounds, plain / rounds, length);
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 2;
    const char *what = arguments[1], *path = arguments[2];
    int rounds = count > 3 ? atoi(arguments[3]) : 1;
    if (strcmp(what, "hold") == 0) {
        hold(path, rounds);
    } else if (strcmp(what, "record") == 0) {
        measure_records(rounds);
    } else if (strcmp(what, "load") == 0) {
        double start = now();
        if (((int (*)(void))find(open_library(path), "nvmlInit_v2"))())
            fail("NVML does not initialise");
        printf("%.1f\n", now() - start);
    } else if (strcmp(what, "cuinit") == 0) {
        int (*init)(unsigned) = (int (*)(unsigned))find(open_library(path), "cuInit");
        double start = now();
        if (init(0))
            fail("CUDA does not initialise");
        printf("%.1f\n", now() - start);
    } else {
        printf("%.1f\n", measure_nvml(path, rounds, strcmp(what, "memory") == 0));
    }
    return 0;
}
