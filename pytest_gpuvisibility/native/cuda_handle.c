#include <stdlib.h>
#include <time.h>

#include "cuda_handle.h"

#define BUCKETS 1024

static struct gv_handle *bucket[BUCKETS];
static unsigned long long last_id;
/* Apart from gv_cuda_lock, under which a context's objects are freed. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct gv_handle **bucket_of(const void *handle)
{
    return &bucket[(uintptr_t)handle / 64 % BUCKETS];
}

struct gv_handle *gv_handle_new(enum gv_handle_kind kind, CUcontext context)
{
    struct gv_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return NULL;
    struct gv_handle **first = bucket_of(handle);
    handle->kind = kind;
    handle->context = context;
    pthread_mutex_lock(&lock);
    handle->id = ++last_id + 2; /* 1 and 2 are the default streams' */
    handle->next = *first;
    *first = handle;
    pthread_mutex_unlock(&lock);
    return handle;
}

struct gv_handle *gv_handle_find(enum gv_handle_kind kind, const void *handle)
{
    pthread_mutex_lock(&lock);
    struct gv_handle *found = *bucket_of(handle);
    while (found && (found != handle || found->kind != kind))
        found = found->next;
    pthread_mutex_unlock(&lock);
    return found;
}

/* Frees what is chosen; returns how many. */
static int free_where(bool (*chosen)(const struct gv_handle *, const void *), const void *argument)
{
    int freed = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < BUCKETS; i++) {
        for (struct gv_handle **link = &bucket[i]; *link;) {
            struct gv_handle *handle = *link;
            if (!chosen(handle, argument)) {
                link = &handle->next;
                continue;
            }
            *link = handle->next;
            free(handle->name);
            free(handle);
            freed++;
        }
    }
    pthread_mutex_unlock(&lock);
    return freed;
}

static bool is_of(const struct gv_handle *handle, const void *parent)
{
    return handle->parent == parent;
}

bool gv_handle_free(enum gv_handle_kind kind, const void *handle)
{
    pthread_mutex_lock(&lock);
    struct gv_handle **link = bucket_of(handle), *found;
    while (*link && (*link != handle || (*link)->kind != kind))
        link = &(*link)->next;
    if ((found = *link))
        *link = found->next;
    pthread_mutex_unlock(&lock);
    if (!found)
        return false;
    if (kind == GV_MODULE || kind == GV_LIBRARY)
        free_where(is_of, found);
    free(found->name);
    free(found);
    return true;
}

static bool is_in(const struct gv_handle *handle, const void *context)
{
    return handle->context == context;
}

void gv_forget_handles(CUcontext context)
{
    free_where(is_in, context);
}
