/* Run under sanitizers by native/test_fuzz.py: the mask parser, the state and the ledger on random input, and from
 * several threads at once. Usage: native_fuzz EMPTY-DIRECTORY ROUNDS [THREADS]; with THREADS they alone are at work, for
 * ThreadSanitizer sees what threads of one process share, and not what processes do. Exits 0, or dies of what it found. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/ledger.h"
#include "core/mask.h"
#include "core/state.h"

int gv_create(const char *directory, const char *description);
long gv_snapshot(const char *directory, char *buffer, size_t size);

static uint64_t seed = 88172645463325252u;

static unsigned pick(unsigned limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 32) % limit;
}

static const char DESCRIPTION[] =
    "inventory=fuzz\ndriver_version=580.95.05\ncuda_version=13000\n"
    "device=\nuuid=GPU-5f1ce952-d417-4541-a323-cf2f078b0ef9\nname=A\nmemory=1099511627776\nmultiprocessors=10\n"
    "pci_bus_id=00000000:07:00.0\nminor=0\ncompute_capability=8.0\nrelative_speed=3ff0000000000000\ncompute_mode=0\n"
    "device=\nuuid=GPU-5f1ce952-d417-4541-a323-cf2f078b0ef8\nname=B\nmemory=4294967296\nmultiprocessors=10\n"
    "pci_bus_id=00000000:08:00.0\nminor=1\ncompute_capability=8.0\nrelative_speed=4000000000000000\nmig_enabled=1\n"
    "mig=\nuuid=MIG-af8abf41-fce2-5c8a-ba1d-a4dc67253d6e\nname=C\nprofile=1g.5gb\nparent=1\ngpu_instance=1\n"
    "compute_instance=0\nmemory=1073741824\nmultiprocessors=1\n";

/* A mask in memory of exactly its size, so that reading beyond its end is noticed. */
static char *random_mask(void)
{
    static const char *const parts[] = {
        "0", "1", ",", ",", " ", "-", "+", "GPU-", "MIG-", "GPU-5f1ce952", "5f1ce952-d417-4541-a323-cf2f078b0ef9", "/1/0",
        "MIG-GPU-5f1ce952-d417-4541-a323-cf2f078b0ef8/1/0", "MIG-af8abf41-fce2-5c8a-ba1d-a4dc67253d6e", "99999999999999999999",
        "\t", "x", "/", "\xff\xfe", "\xed\xa0\x80", "\xf0\x9f\x98\x80", "\"\\\n"};
    size_t length = 0, size = 1;
    char *mask = calloc(1, 1);
    for (unsigned count = pick(12); count; count--) {
        const char *part = parts[pick(sizeof parts / sizeof *parts)];
        size += strlen(part);
        mask = realloc(mask, size);
        memcpy(mask + length, part, strlen(part) + 1);
        length += strlen(part);
    }
    return mask;
}

static void read_masks(struct gv_state *state, unsigned rounds)
{
    static const char *const drivers[] = {"450.80.02", "525.60.13", "580.95.05", ""};
    for (unsigned round = 0; round < rounds; round++) {
        char *mask = random_mask();
        int units[GV_MAX_UNITS];
        strcpy(state->driver_version, drivers[pick(4)]);
        int count = gv_visible_units(state, pick(20) ? mask : NULL, pick(2) ? "PCI_BUS_ID" : NULL, units);
        assert(count >= 0 && count <= state->unit_count);
        for (int i = 0; i < count; i++)
            assert(units[i] >= 0 && units[i] < state->unit_count);
        struct gv_record record = {
            .event = GV_EVENT_INIT, .result = (int)round, .visible_devices = mask, .state = state, .visible = units,
            .visible_count = count};
        if (round < 200)
            gv_ledger_write(&record);
        free(mask);
    }
}

/* Parents of children that die at a random moment find every number right afterwards. */
static void die_at_random_moments(struct gv_state *state, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        pid_t child = fork();
        assert(child >= 0);
        if (child == 0)
            for (;;) {
                if (gv_take_context(state, 0) == 0)
                    gv_give_context(state, 0);
                if (gv_take_memory(state, 0, 1 << 20) == 0)
                    gv_give_memory(state, 0, 1 << 20);
            }
        for (volatile unsigned spin = pick(3000000); spin; spin--)
            continue;
        kill(child, SIGKILL);
        assert(waitpid(child, NULL, 0) == child);
        assert(gv_unit_used(state, 0) == 0);
        assert(gv_take_memory(state, 0, state->unit[0].memory) == 0);
        assert(gv_take_memory(state, 0, 1) == -ENOMEM);
        gv_give_memory(state, 0, state->unit[0].memory);
    }
}

static void snapshot_into_every_size(const char *directory)
{
    long length = gv_snapshot(directory, NULL, 0);
    assert(length > 0);
    for (size_t size = 0; size <= (size_t)length + 1; size += 7) {
        char *buffer = malloc(size ? size : 1);
        assert(gv_snapshot(directory, buffer, size) > 0);
        free(buffer);
    }
}

struct worker {
    pthread_t thread;
    const char *directory;
    unsigned rounds;
};

static void *use_machine(void *argument)
{
    struct worker *worker = argument;
    for (unsigned round = 0; round < worker->rounds; round++) {
        struct gv_state *state = gv_machine_reopen();
        struct gv_record record = {.event = GV_EVENT_CONTEXT, .unit = &state->unit[0], .result = (int)(round % 5)};
        if (gv_take_context(state, 0) == 0) {
            if (gv_take_memory(state, 0, 1 << 20) == 0)
                gv_give_memory(state, 0, 1 << 20);
            gv_give_context(state, 0);
        }
        gv_ledger_write(&record);
        assert(gv_device_used(state, 1) == 0);
        if (round % 64 == 0) {
            pid_t child = fork();
            if (child == 0)
                _exit(gv_take_context(state, 0) == 0 ? 0 : 1);
            int status;
            assert(child > 0 && waitpid(child, &status, 0) == child && status == 0);
            assert(gv_snapshot(worker->directory, NULL, 0) > 0);
        }
    }
    return NULL;
}

static void use_from_threads(const struct gv_state *state, const char *directory, unsigned rounds, int threads)
{
    struct worker worker[16];
    assert(threads > 0 && threads <= 16);
    for (int i = 0; i < threads; i++) {
        worker[i] = (struct worker){.directory = directory, .rounds = rounds};
        assert(pthread_create(&worker[i].thread, NULL, use_machine, &worker[i]) == 0);
    }
    for (int i = 0; i < threads; i++)
        assert(pthread_join(worker[i].thread, NULL) == 0);
    assert(gv_unit_used(state, 0) == 0);
}

static void refuse_what_is_too_much(const char *directory)
{
    static const char device[] = "device=\n", slice[] = "mig=\n";
    char *text = malloc(64 * (sizeof device - 1) + 66 * sizeof slice + 100), *end = stpcpy(text, "inventory=many\n");
    for (int i = 0; i < GV_MAX_DEVICES; i++)
        end = stpcpy(end, device);
    strcpy(end, device);
    assert(gv_create(directory, text) == -E2BIG);
    for (int i = GV_MAX_DEVICES; i < GV_MAX_UNITS + 1; i++)
        end = stpcpy(end, slice);
    assert(gv_create(directory, text) == -E2BIG);
    assert(gv_create(directory, "device=\nmemory=9000000000000000000\n") == -EINVAL);
    free(text);
}

int main(int count, char **arguments)
{
    assert(count == 3 || count == 4);
    unsigned rounds = (unsigned)atoi(arguments[2]);
    struct gv_state *state;
    assert(gv_create(arguments[1], "nonsense") == -EINVAL);
    refuse_what_is_too_much(arguments[1]);
    assert(gv_create(arguments[1], DESCRIPTION) == 0);
    assert(gv_create(arguments[1], DESCRIPTION) == -EEXIST);
    assert(setenv("GPU_VISIBILITY_MACHINE", arguments[1], 1) == 0);
    assert((state = gv_machine()));
    if (count == 4) {
        use_from_threads(state, arguments[1], rounds, atoi(arguments[3]));
        return 0;
    }
    read_masks(state, rounds);
    strcpy(state->driver_version, "580.95.05");
    snapshot_into_every_size(arguments[1]);
    die_at_random_moments(state, 50);
    printf("%d slots were used\n", atomic_load(&state->process_limit));
    return 0;
}
