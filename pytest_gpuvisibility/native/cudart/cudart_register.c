/* The registration that nvcc compiles into programs: each fat binary, with its kernels and variables. No code is read.
 *
 * torch registers 200,000 kernels while it is loaded and launches a hundred of them: they are put in order when one is
 * first looked for. */
#include "cudart_register.h"

#include <stdlib.h>

#include "core/locks.h"

/* No header of C's declares these. */
#pragma GCC visibility push(default)
void **__cudaRegisterFatBinary(void *image);
void __cudaRegisterFatBinaryEnd(void **handle);
void __cudaUnregisterFatBinary(void **handle);
void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name, int thread_limit,
                            uint3 *tid, uint3 *bid, dim3 *block, dim3 *grid, int *warp_size);
void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int ext, size_t size, int constant,
                       int global);
void __cudaRegisterManagedVar(void **handle, void **host, char *device, const char *name, int ext, size_t size,
                              int constant, int global);
void __cudaRegisterHostVar(void **handle, const char *name, char *host, size_t size);
void __cudaRegisterUnifiedTable(void **handle, void *table);
char __cudaInitModule(void **handle);
#pragma GCC visibility pop

struct fat_binary {
    struct fat_binary *next, **link;
    struct gv_function *function;
    size_t functions, function_room;
    struct gv_variable *variable;
    size_t variables, variable_room;
};

/* All of this under GV_LOCK_REGISTERED. */
static struct fat_binary *binaries;
static struct gv_function **in_order; /* every function, by host address */
static size_t function_count;
static bool is_in_order = true;

static void *grow(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return array;
    size_t larger = *room ? 2 * *room : 8;
    void *grown = realloc(array, larger * size);
    if (grown)
        *room = larger;
    return grown;
}

void **__cudaRegisterFatBinary(void *image)
{
    (void)image;
    struct fat_binary *binary = calloc(1, sizeof *binary);
    if (!binary)
        return NULL;
    gv_lock(GV_LOCK_REGISTERED);
    binary->next = binaries;
    binary->link = &binaries;
    if (binaries)
        binaries->link = &binary->next;
    binaries = binary;
    gv_unlock(GV_LOCK_REGISTERED);
    return (void **)binary;
}

void __cudaRegisterFatBinaryEnd(void **handle)
{
    (void)handle;
}

void __cudaUnregisterFatBinary(void **handle)
{
    struct fat_binary *binary = (struct fat_binary *)handle;
    if (!binary)
        return;
    gv_lock(GV_LOCK_REGISTERED);
    *binary->link = binary->next;
    if (binary->next)
        binary->next->link = binary->link;
    is_in_order = false;
    gv_unlock(GV_LOCK_REGISTERED);
    free(binary->function);
    free(binary->variable);
    free(binary);
}

void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name, int thread_limit,
                            uint3 *tid, uint3 *bid, dim3 *block, dim3 *grid, int *warp_size)
{
    (void)device, (void)thread_limit, (void)tid, (void)bid, (void)block, (void)grid, (void)warp_size;
    struct fat_binary *binary = (struct fat_binary *)handle;
    if (!binary)
        return;
    gv_lock(GV_LOCK_REGISTERED);
    struct gv_function *grown =
        grow(binary->function, binary->functions, &binary->function_room, sizeof *binary->function);
    if (grown) {
        binary->function = grown;
        binary->function[binary->functions++] = (struct gv_function){host, name, NULL};
        is_in_order = false;
    }
    gv_unlock(GV_LOCK_REGISTERED);
}

void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int ext, size_t size, int constant,
                       int global)
{
    (void)device, (void)ext, (void)constant, (void)global;
    struct fat_binary *binary = (struct fat_binary *)handle;
    if (!binary)
        return;
    gv_lock(GV_LOCK_REGISTERED);
    struct gv_variable *grown =
        grow(binary->variable, binary->variables, &binary->variable_room, sizeof *binary->variable);
    if (grown) {
        binary->variable = grown;
        binary->variable[binary->variables++] = (struct gv_variable){host, name, size};
    }
    gv_unlock(GV_LOCK_REGISTERED);
}

/* Managed ones would be the host's to read as well, and there is nothing that could fill them. */
void __cudaRegisterManagedVar(void **handle, void **host, char *device, const char *name, int ext, size_t size,
                              int constant, int global)
{
    __cudaRegisterVar(handle, (char *)host, device, name, ext, size, constant, global);
}

void __cudaRegisterHostVar(void **handle, const char *name, char *host, size_t size)
{
    (void)handle, (void)name, (void)host, (void)size;
}

void __cudaRegisterUnifiedTable(void **handle, void *table)
{
    (void)handle, (void)table;
}

char __cudaInitModule(void **handle)
{
    return handle != NULL;
}

/* ---- looking up ---- */

static int by_host(const void *one, const void *other)
{
    uintptr_t first = (uintptr_t)(*(struct gv_function *const *)one)->host;
    uintptr_t second = (uintptr_t)(*(struct gv_function *const *)other)->host;
    return (first > second) - (first < second);
}

/* Under the lock. */
static bool put_in_order(void)
{
    size_t count = 0;
    for (struct fat_binary *binary = binaries; binary; binary = binary->next)
        count += binary->functions;
    struct gv_function **grown = realloc(in_order, (count ? count : 1) * sizeof *grown);
    if (!grown)
        return false;
    in_order = grown;
    function_count = 0;
    for (struct fat_binary *binary = binaries; binary; binary = binary->next)
        for (size_t i = 0; i < binary->functions; i++)
            in_order[function_count++] = &binary->function[i];
    qsort(in_order, function_count, sizeof *in_order, by_host);
    return is_in_order = true;
}

struct gv_function *gv_registered_function(const void *host)
{
    const struct gv_function wanted = {host, NULL, NULL}, *key = &wanted;
    gv_lock(GV_LOCK_REGISTERED);
    struct gv_function **found = NULL;
    if (is_in_order || put_in_order())
        found = function_count ? bsearch(&key, in_order, function_count, sizeof *in_order, by_host) : NULL;
    struct gv_function *function = found ? *found : NULL;
    gv_unlock(GV_LOCK_REGISTERED);
    return function;
}

const struct gv_variable *gv_registered_variable(const void *host)
{
    const struct gv_variable *found = NULL;
    gv_lock(GV_LOCK_REGISTERED);
    for (struct fat_binary *binary = binaries; binary && !found; binary = binary->next)
        for (size_t i = 0; i < binary->variables && !found; i++)
            if (binary->variable[i].host == host)
                found = &binary->variable[i];
    gv_unlock(GV_LOCK_REGISTERED);
    return found;
}
