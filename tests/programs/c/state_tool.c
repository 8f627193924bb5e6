/* Puts a machine's state where no program would get it in a test's time. Usage: state_tool DIRECTORY WHAT PID
 *   fill   every slot belongs to process PID
 *   reuse  a slot with a context and memory on unit 0 belongs to an earlier process that had the pid PID
 *   hold   process PID holds the lock
 *   events nothing: prints the names of the ledger's events */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ledger.h"

static void take_slot(struct gv_process *process, pid_t pid, uint64_t start)
{
    atomic_store(&process->start, start);
    atomic_store(&process->stack, 0);
    atomic_store(&process->pid, pid);
}

int main(int count, char **arguments)
{
    struct gv_state *state;
    if (count == 4 && strcmp(arguments[2], "events") == 0) {
        for (int event = 0; event < GV_EVENTS; event++)
            puts(gv_event_name((enum gv_event)event));
        return 0;
    }
    if (count != 4 || gv_state_map(arguments[1], &state))
        return 2;
    const char *what = arguments[2];
    pid_t pid = atoi(arguments[3]);
    if (strcmp(what, "hold") == 0) {
        atomic_store(&state->lock, (uint64_t)pid << 32);
        return 0;
    }
    int slots = strcmp(what, "fill") == 0 ? GV_MAX_PROCESSES : 1;
    for (int slot = 0; slot < slots; slot++) {
        struct gv_process *process = &state->process[slot];
        take_slot(process, pid, gv_process_start(pid) - (slots == 1));
        atomic_store(&state->process_limit, slot + 1);
        if (slots == 1) {
            atomic_store(&process->usage[0].contexts, 1);
            atomic_store(&process->usage[0].bytes, 1 << 30);
        }
    }
    return 0;
}
