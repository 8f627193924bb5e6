/* Who a process is, and whether it lives. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "locks.h"
#include "state_internal.h"

/* Fields 22 and 28 of /proc/<pid>/stat. */
bool gv_identify(pid_t pid, struct gv_identity *identity)
{
    char path[32], text[1024];
    identity->pid = pid;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return false;
    text[length] = 0;
    /* "pid (name) S ppid ...": the name may hold anything, so count from its last parenthesis. */
    const char *after_name = strrchr(text, ')');
    char status;
    long threads;
    if (!after_name ||
        sscanf(after_name + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %" SCNu64
               " %*u %*d %*u %*u %*u %" SCNu64,
               &status, &threads, &identity->start, &identity->stack) != 4)
        return false;
    /* A zombie holds nothing any more, but for one whose main thread alone has ended. */
    return !((status == 'Z' && threads <= 1) || status == 'X');
}

uint64_t gv_process_start(pid_t pid)
{
    struct gv_identity found;
    return gv_identify(pid, &found) ? found.start : 0;
}

bool gv_process_alive(const struct gv_process *process)
{
    pid_t pid = atomic_load(&process->pid);
    uint64_t start = atomic_load(&process->start), stack = atomic_load(&process->stack);
    struct gv_identity found;
    if (pid <= 0)
        return false;
    if (!start) /* it has no /proc to tell the time by */
        return kill(pid, 0) == 0 || errno == EPERM;
    if (!gv_identify(pid, &found) || found.start != start)
        return false;
    return !stack || !found.stack || stack == found.stack;
}

struct gv_identity gv_own_identity(void)
{
    static struct gv_identity own; /* under GV_LOCK_OWN */
    gv_lock(GV_LOCK_OWN);
    pid_t pid = getpid();
    if (own.pid != pid && !gv_identify(pid, &own)) /* at its first call, and in a child forked from it */
        own.start = own.stack = 0;
    struct gv_identity copy = own;
    gv_unlock(GV_LOCK_OWN);
    return copy;
}
