/* What the parts of the state share: whose it is (process.c), its lock (state_lock.c), what is taken (state.c). */
#ifndef GPUVISIBILITY_STATE_INTERNAL_H
#define GPUVISIBILITY_STATE_INTERNAL_H

#include "state.h"

/* What tells a process from earlier and later ones of its pid, and from the program that it was before an exec. */
struct gv_identity {
    pid_t pid;
    uint64_t start, stack; /* as in struct gv_process; 0: not to be known, for there is no /proc */
};

/* False for a process that is not there, or is dead and not yet reaped. The stack is 0 where this process may not see
 * it. */
bool gv_identify(pid_t pid, struct gv_identity *identity);
struct gv_identity gv_own_identity(void);

/* The lock of the machine, for all its processes. gv_state_lock returns what gv_state_unlock must be given. */
uint64_t gv_state_lock(struct gv_state *state);
void gv_state_unlock(struct gv_state *state, uint64_t self);

#endif
