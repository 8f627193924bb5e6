#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

#define LONGEST_MASK 4096   /* bytes of a variable's value that are kept */
#define LONGEST_RECORD (96 * 1024) /* two masks and argv[0], each byte as \udcXX, and 128 UUIDs fit */

const char *gv_event_name(enum gv_event event)
{
    static const char *const names[GV_EVENTS] = {
        [GV_EVENT_INIT] = "init",       [GV_EVENT_CONTEXT] = "context", [GV_EVENT_ALLOC] = "alloc",
        [GV_EVENT_REFUSED] = "refused", [GV_EVENT_LAUNCH] = "launch",   [GV_EVENT_PEER] = "peer",
        [GV_EVENT_REMASK] = "remask",   [GV_EVENT_QUESTION] = "question",
    };
    return names[event];
}

/* How often each (process, event, unit, function, result) came on one machine: open addressing, keys never leave. Free of locks, so
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
    const char *texts[] = {record->function, record->unit ? record->unit->uuid : NULL, gv_machine_directory()};
    uint64_t key = hash(UINT64_C(0xcbf29ce484222325), &pid, sizeof pid);
    key = hash(key, &record->event, sizeof record->event);
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

/* What /proc says of this process. Asking takes longer than all else about a record, so each thread remembers it; a
 * program that has given itself another name is known by it from its next cuInit on. */
struct identity {
    pid_t pid;
    uint64_t start;
    size_t length;
    char argv0[LONGEST_MASK];
};

static const struct identity *identify(bool anew)
{
    static _Thread_local struct identity identity;
    if (anew || identity.pid != getpid()) {
        identity.pid = getpid();
        identity.start = gv_process_start(identity.pid);
        identity.length = read_argv0(identity.argv0, sizeof identity.argv0);
    }
    return &identity;
}

/* `name` is the key as it stands in the record. */
static void add_variable(struct gv_text *text, const char *name, const char *value, bool *truncated)
{
    gv_text_bytes(text, name, strlen(name));
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
    const struct identity *self = identify(record->state != NULL);
    bool truncated = false;

    gv_text_format(text, "{\"time\":%lld.%06ld,\"pid\":%d,\"ppid\":%d,\"start\":%llu,\"argv0\":",
                   (long long)now.tv_sec, now.tv_nsec / 1000, (int)self->pid, (int)getppid(),
                   (unsigned long long)self->start);
    gv_text_json_bytes(text, self->argv0, self->length);
    gv_text_format(text, ",\"event\":\"%s\",\"uuid\":", gv_event_name(record->event));
    gv_text_json(text, record->unit ? record->unit->uuid : NULL);
    add_variable(text, ",\"cuda_visible_devices\":", record->visible_devices, &truncated);
    add_variable(text, ",\"cuda_device_order\":", record->device_order, &truncated);
    gv_text_format(text, ",\"result\":%d,\"count\":%llu", record->result, (unsigned long long)number);
    if (record->state)
        add_visible(text, record);
    if (record->function)
        gv_text_format(text, ",\"function\":\"%s\"", record->function);
    if (record->event == GV_EVENT_ALLOC)
        gv_text_format(text, ",\"bytes\":%llu", (unsigned long long)record->bytes);
    if (truncated)
        gv_text_format(text, ",\"truncated\":true");
    gv_text_format(text, "}\n");
}

/* Writing beyond RLIMIT_FSIZE sends SIGXFSZ, which ends a program that never asked for a ledger: it is kept from it. */
static ssize_t write_quietly(int file, const char *line, size_t length)
{
    sigset_t too_large, before;
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &too_large, &before);
    ssize_t written;
    do
        written = write(file, line, length);
    while (written < 0 && errno == EINTR);
    if (written < 0 && errno == EFBIG)
        sigtimedwait(&too_large, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return written;
}

/* The ledger as it was opened last. Never changed, so that threads need no lock, and never freed. That of the machine
 * after it takes the descriptor over, so that a program which moves from one to the next keeps one alone. */
struct opened {
    const char *directory; /* the very pointer that gv_machine_directory returned */
    int file;
    dev_t device;
    ino_t inode;
};
static _Atomic(struct opened *) last_opened;

#define OUT_OF_THE_WAY 200 /* the file's number is at least this where it may be: programs count on low ones */

/* Whether it is still the ledger: a program may close every descriptor that it does not know, and reuse the number. */
static bool is_ours(const struct opened *opened, struct stat *status)
{
    return opened && fstat(opened->file, status) == 0 && status->st_dev == opened->device &&
           status->st_ino == opened->inode;
}

static bool is_open(const struct opened *opened, const char *directory)
{
    struct stat status;
    return is_ours(opened, &status) && opened->directory == directory && status.st_nlink > 0;
}

/* Opens the ledger in place of `before`, which is not usable; another thread may have done so meanwhile. */
static struct opened *open_ledger(const char *directory, struct opened *before)
{
    char path[PATH_MAX];
    struct stat status;
    if (snprintf(path, sizeof path, "%s/ledger.jsonl", directory) >= (int)sizeof path)
        return NULL;
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (file < 0)
        return NULL;
    int moved = is_ours(before, &status) ? dup3(file, before->file, O_CLOEXEC)
                                         : fcntl(file, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
    if (moved >= 0) {
        close(file);
        file = moved;
    }
    struct opened *opened = fstat(file, &status) ? NULL : malloc(sizeof *opened);
    if (!opened) {
        close(file);
        return NULL;
    }
    *opened = (struct opened){directory, file, status.st_dev, status.st_ino};
    if (!atomic_compare_exchange_strong(&last_opened, &before, opened)) {
        if (file != before->file)
            close(file);
        free(opened);
        opened = before;
    }
    return opened;
}

/* False where the line is not, or not whole, in the ledger. */
static bool append(const char *line, size_t length)
{
    const char *directory = gv_machine_directory();
    struct opened *opened = atomic_load(&last_opened);
    if (!is_open(opened, directory))
        opened = open_ledger(directory, opened);
    return opened && write_quietly(opened->file, line, length) == (ssize_t)length;
}

static bool is_probe(void)
{
    const char *probe = secure_getenv("GPU_VISIBILITY_PROBE");
    return probe && strcmp(probe, "1") == 0;
}

static bool write_record(const struct gv_record *record, uint64_t number)
{
    char usual[2048];
    struct gv_text text = {usual, sizeof usual, 0};
    compose(&text, record, number);
    if (text.length <= text.size)
        return append(text.data, text.length);
    text = (struct gv_text){malloc(LONGEST_RECORD), LONGEST_RECORD, 0};
    if (!text.data)
        return false;
    compose(&text, record, number);
    bool written = text.length <= text.size && append(text.data, text.length);
    free(text.data);
    return written;
}

/* Functions that launch kernels; the host's own (cuLaunchHostFunc) are not refused. */
static bool launches(const char *function)
{
    return strncmp(function, "cuLaunch", 8) == 0 || strncmp(function, "cublas", 6) == 0;
}

static void count_launch(struct gv_state *state, const struct gv_record *record)
{
    if (record->event == GV_EVENT_LAUNCH)
        atomic_fetch_add(&state->skipped_launches, 1);
    else if (record->event == GV_EVENT_REFUSED && launches(record->function))
        atomic_fetch_add(&state->refused_launches, 1);
}

void gv_ledger_write(const struct gv_record *record)
{
    int saved = errno;
    struct gv_state *state = gv_machine();
    uint64_t number = state && !is_probe() ? count(record) : 0;
    if (number)
        count_launch(state, record);
    if (number && (number & (number - 1)) == 0 && !write_record(record, number))
        atomic_fetch_add(&state->lost_records, 1);
    errno = saved;
}
