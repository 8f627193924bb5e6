#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

#define LONGEST_MASK 4096   /* bytes of a variable's value that are kept */
#define LONGEST_RECORD (96 * 1024) /* two masks and argv[0], each byte as \udcXX, and 128 UUIDs fit */

/* How often each (process, event, unit, function, result) came: open addressing, keys never leave. Free of locks, so
 * that a child forked at any moment can go on; its pid makes its keys its own. */
#define COUNTERS 8192
static struct {
    _Atomic uint64_t key, count;
} counter[COUNTERS];

static uint64_t hash(uint64_t key, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        key = (key ^ ((const unsigned char *)data)[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return key;
}

static uint64_t key_of(const struct gv_record *record)
{
    pid_t pid = getpid();
    const char *texts[] = {record->event, record->function, record->unit ? record->unit->uuid : NULL};
    uint64_t key = hash(UINT64_C(0xcbf29ce484222325), &pid, sizeof pid);
    key = hash(key, &record->result, sizeof record->result);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        key = hash(key, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) + 1 : 1);
    return key ? key : 1;
}

/* The how manieth such record this is; 0 when there are too many different ones to count. */
static uint64_t count(const struct gv_record *record)
{
    uint64_t key = key_of(record);
    for (size_t tried = 0; tried < COUNTERS; tried++) {
        size_t i = (key + tried) % COUNTERS;
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(&counter[i].key, &found, key) || found == key)
            return atomic_fetch_add(&counter[i].count, 1) + 1;
    }
    return 0;
}

static size_t read_argv0(char *name, size_t size)
{
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, name, size);
    if (file >= 0)
        close(file);
    return length > 0 ? strnlen(name, (size_t)length) : 0;
}

static void add_variable(struct gv_text *text, const char *name, const char *value, bool *truncated)
{
    gv_text_format(text, ",\"%s\":", name);
    if (!value) {
        gv_text_json(text, NULL);
        return;
    }
    *truncated |= strnlen(value, LONGEST_MASK + 1) > LONGEST_MASK;
    gv_text_json_bytes(text, value, LONGEST_MASK);
}

static void add_visible(struct gv_text *text, const struct gv_record *record)
{
    gv_text_format(text, ",\"visible\":[");
    for (int i = 0; i < record->visible_count; i++) {
        gv_text_format(text, "%s", i ? "," : "");
        gv_text_json(text, record->state->unit[record->visible[i]].uuid);
    }
    gv_text_format(text, "]");
}

static void compose(struct gv_text *text, const struct gv_record *record, uint64_t number)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    char argv0[LONGEST_MASK];
    size_t argv0_length = read_argv0(argv0, sizeof argv0);
    bool truncated = false;

    gv_text_format(text, "{\"time\":%lld.%06ld,\"pid\":%d,\"ppid\":%d,\"start\":%llu,\"argv0\":",
                   (long long)now.tv_sec, now.tv_nsec / 1000, (int)getpid(), (int)getppid(),
                   (unsigned long long)gv_process_start(getpid()));
    gv_text_json_bytes(text, argv0, argv0_length);
    gv_text_format(text, ",\"event\":\"%s\",\"uuid\":", record->event);
    gv_text_json(text, record->unit ? record->unit->uuid : NULL);
    add_variable(text, "cuda_visible_devices", record->visible_devices, &truncated);
    add_variable(text, "cuda_device_order", record->device_order, &truncated);
    gv_text_format(text, ",\"result\":%d,\"count\":%llu", record->result, (unsigned long long)number);
    if (record->state)
        add_visible(text, record);
    if (record->function)
        gv_text_format(text, ",\"function\":\"%s\"", record->function);
    if (strcmp(record->event, "alloc") == 0)
        gv_text_format(text, ",\"bytes\":%llu", (unsigned long long)record->bytes);
    if (truncated)
        gv_text_format(text, ",\"truncated\":true");
    gv_text_format(text, "}\n");
}

/* Writing beyond RLIMIT_FSIZE sends SIGXFSZ, which ends a program that never asked for a ledger: it is kept from it. */
static ssize_t write_quietly(int file, const char *line, size_t length)
{
    sigset_t too_large, before, pending;
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &too_large, &before);
    ssize_t written;
    do
        written = write(file, line, length);
    while (written < 0 && errno == EINTR);
    if (written < 0 && errno == EFBIG && !sigismember(&pending, SIGXFSZ))
        sigtimedwait(&too_large, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return written;
}

/* False where the line is not, or not whole, in the ledger. */
static bool append(const char *line, size_t length)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/ledger.jsonl", gv_machine_directory()) >= (int)sizeof path)
        return false;
    /* Opened for each record: a program may close every descriptor that it does not know, and reuse the number. */
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (file < 0)
        return false;
    ssize_t written = write_quietly(file, line, length);
    close(file);
    return written == (ssize_t)length;
}

static bool is_probe(void)
{
    const char *probe = secure_getenv("GPU_VISIBILITY_PROBE");
    return probe && strcmp(probe, "1") == 0;
}

static bool write_record(const struct gv_record *record, uint64_t number)
{
    struct gv_text text = {malloc(LONGEST_RECORD), LONGEST_RECORD, 0};
    if (!text.data)
        return false;
    compose(&text, record, number);
    bool written = text.length <= text.size && append(text.data, text.length);
    free(text.data);
    return written;
}

void gv_ledger_write(const struct gv_record *record)
{
    int saved = errno;
    struct gv_state *state = gv_machine();
    uint64_t number = state && !is_probe() ? count(record) : 0;
    if (number && (number & (number - 1)) == 0 && !write_record(record, number))
        atomic_fetch_add(&state->lost_records, 1);
    errno = saved;
}
