#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cuda_memory.h"

#define BUCKETS 1024

/* Both under GV_LOCK_HANDLES. */
static struct gv_handle *bucket[BUCKETS];
static unsigned long long last_id;

static struct gv_handle **bucket_of(const void *handle)
{
    return &bucket[(uintptr_t)handle / 64 % BUCKETS];
}

static void add(struct gv_handle *handle)
{
    struct gv_handle **first = bucket_of(handle);
    handle->id = ++last_id + 2; /* 1 and 2 are the default streams' */
    handle->next = *first;
    *first = handle;
}

struct gv_handle *gv_handle_new(enum gv_handle_kind kind, CUcontext context)
{
    struct gv_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return NULL;
    handle->kind = kind;
    handle->context = context;
    gv_lock(GV_LOCK_HANDLES);
    add(handle);
    gv_unlock(GV_LOCK_HANDLES);
    return handle;
}

struct gv_handle *gv_handle_find(enum gv_handle_kind kind, const void *handle)
{
    gv_lock(GV_LOCK_HANDLES);
    struct gv_handle *found = *bucket_of(handle);
    while (found && (found != handle || found->kind != kind))
        found = found->next;
    gv_unlock(GV_LOCK_HANDLES);
    return found;
}

bool gv_any_handle(void)
{
    bool found = false;
    gv_lock(GV_LOCK_HANDLES);
    for (int i = 0; i < BUCKETS && !found; i++)
        for (struct gv_handle *handle = bucket[i]; handle && !found; handle = handle->next)
            found = handle->kind != GV_POOL || !gv_pool_is_idle(handle->data);
    gv_unlock(GV_LOCK_HANDLES);
    return found;
}

static bool is_same(const char *one, const char *other)
{
    return one && other ? strcmp(one, other) == 0 : one == other;
}

/* Under the lock. */
static struct gv_handle *find_child(const struct gv_handle *parent, enum gv_handle_kind kind, const char *name,
                                    CUcontext context)
{
    for (struct gv_handle *child = parent->child; child; child = child->sibling)
        if (child->kind == kind && child->context == context && is_same(child->name, name))
            return child;
    return NULL;
}

struct gv_handle *gv_handle_child(struct gv_handle *parent, enum gv_handle_kind kind, const char *name,
                                  CUcontext context)
{
    gv_lock(GV_LOCK_HANDLES);
    struct gv_handle *found = find_child(parent, kind, name, context);
    if (!found && (found = calloc(1, sizeof *found))) {
        found->kind = kind;
        found->context = context;
        found->parent = parent;
        found->sibling = parent->child;
        parent->child = found;
        found->name = name ? strdup(name) : NULL;
        add(found);
    }
    gv_unlock(GV_LOCK_HANDLES);
    return found;
}

/* ---- freeing ---- */

static void visit_all(void (*visit)(struct gv_handle *, const void *), const void *argument)
{
    for (int i = 0; i < BUCKETS; i++)
        for (struct gv_handle *handle = bucket[i]; handle; handle = handle->next)
            visit(handle, argument);
}

static void mark_of_context(struct gv_handle *handle, const void *context)
{
    handle->dead |= handle->context == context;
}

static void mark_with_parent(struct gv_handle *handle, const void *unused)
{
    (void)unused;
    handle->dead |= handle->parent && handle->parent->dead;
}

static void leave_parent(struct gv_handle *handle, const void *unused)
{
    (void)unused;
    if (!handle->dead || !handle->parent || handle->parent->dead)
        return;
    struct gv_handle **link = &handle->parent->child;
    while (*link != handle)
        link = &(*link)->sibling;
    *link = handle->sibling;
}

static void destroy(struct gv_handle *handle)
{
    free(handle->name);
    free(handle);
}

/* Under the lock: frees what is marked, and with it all that belongs to it: a library's modules, and their functions. */
static void free_dead(void)
{
    visit_all(mark_with_parent, NULL);
    visit_all(mark_with_parent, NULL);
    visit_all(leave_parent, NULL);
    for (int i = 0; i < BUCKETS; i++) {
        for (struct gv_handle **link = &bucket[i]; *link;) {
            struct gv_handle *handle = *link;
            if (handle->dead) {
                *link = handle->next;
                destroy(handle);
            } else {
                link = &handle->next;
            }
        }
    }
}

bool gv_handle_free(enum gv_handle_kind kind, const void *handle)
{
    gv_lock(GV_LOCK_HANDLES);
    struct gv_handle **link = bucket_of(handle), *found;
    while (*link && (*link != handle || (*link)->kind != kind))
        link = &(*link)->next;
    if ((found = *link)) {
        if (found->child || found->parent) {
            found->dead = true;
            free_dead();
        } else {
            *link = found->next;
            destroy(found);
        }
    }
    gv_unlock(GV_LOCK_HANDLES);
    return found != NULL;
}

void gv_forget_handles(CUcontext context)
{
    gv_lock(GV_LOCK_HANDLES);
    visit_all(mark_of_context, context);
    free_dead();
    gv_unlock(GV_LOCK_HANDLES);
}
