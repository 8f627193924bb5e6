/* Handles of streams, events, modules and functions: allocated objects, each known by its address until it is freed. */
#ifndef GPUVISIBILITY_CUDA_HANDLE_H
#define GPUVISIBILITY_CUDA_HANDLE_H

#include <time.h>

#include "cuda_internal.h"

enum gv_handle_kind { GV_STREAM, GV_EVENT, GV_MODULE, GV_LIBRARY, GV_FUNCTION, GV_PHYSICAL, GV_POOL };

struct gv_handle {
    struct gv_handle *next; /* in its bucket */
    enum gv_handle_kind kind;
    CUcontext context;        /* it goes with this one; NULL: with none */
    struct gv_handle *parent; /* a function's module or library, with which it goes; else NULL */
    struct gv_handle *child, *sibling; /* the functions of a module or library, newest first */
    void *data; /* what a GV_PHYSICAL or GV_POOL stands for */
    unsigned flags;
    int priority;
    unsigned long long id;
    bool recorded, imported; /* an event's */
    bool dead;               /* about to be freed */
    struct timespec time;
    char *name; /* a function's */
};

/* A new object, or NULL. The others: NULL or false where the pointer is no living object of the kind. */
struct gv_handle *gv_handle_new(enum gv_handle_kind kind, CUcontext context);
struct gv_handle *gv_handle_find(enum gv_handle_kind kind, const void *handle);
bool gv_handle_free(enum gv_handle_kind kind, const void *handle);
/* Whether there is one, but for the pools that every device has. Under GV_LOCK_CUDA. */
bool gv_any_handle(void);
/* The child of this kind, name (or NULL) and context; made where there is none yet. NULL: out of memory. */
struct gv_handle *gv_handle_child(struct gv_handle *parent, enum gv_handle_kind kind, const char *name,
                                  CUcontext context);

#endif
