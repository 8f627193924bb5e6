/* Handles of streams, events, modules and functions: allocated objects, each known by its address until it is freed. */
#ifndef GPUVISIBILITY_CUDA_HANDLE_H
#define GPUVISIBILITY_CUDA_HANDLE_H

#include <time.h>

#include "cuda_internal.h"

enum gv_handle_kind { GV_STREAM, GV_EVENT, GV_MODULE, GV_LIBRARY, GV_FUNCTION };

struct gv_handle {
    struct gv_handle *next; /* in its bucket */
    enum gv_handle_kind kind;
    CUcontext context;        /* it goes with this one; NULL: with none */
    struct gv_handle *parent; /* a function's module or library, with which it goes; else NULL */
    unsigned flags;
    int priority;
    unsigned long long id;
    bool recorded; /* an event's */
    struct timespec time;
    char *name; /* a function's */
};

/* A new object, or NULL. The others: NULL or false where the pointer is no living object of the kind. */
struct gv_handle *gv_handle_new(enum gv_handle_kind kind, CUcontext context);
struct gv_handle *gv_handle_find(enum gv_handle_kind kind, const void *handle);
bool gv_handle_free(enum gv_handle_kind kind, const void *handle);

#endif
