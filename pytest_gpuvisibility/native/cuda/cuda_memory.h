/* Every piece of memory that this process knows of, whichever family of functions it came from. */
#ifndef GPUVISIBILITY_CUDA_MEMORY_H
#define GPUVISIBILITY_CUDA_MEMORY_H

#include "cuda_handle.h"

enum gv_memory_kind {
    GV_DEVICE,
    GV_MANAGED,
    GV_HOST,
    GV_REGISTERED, /* the program's own, told of by cuMemHostRegister */
    GV_IMPORTED,   /* another process's, by cuIpcOpenMemHandle */
    GV_MAPPED,     /* cuMemMap */
};

/* Memory of the kind is taken of a device. */
static inline bool gv_counts(enum gv_memory_kind kind)
{
    return kind == GV_DEVICE || kind == GV_MANAGED;
}

/* Pages of the kind can be mapped more than once. */
static inline bool gv_is_shared(enum gv_memory_kind kind)
{
    return kind == GV_DEVICE || kind == GV_IMPORTED || kind == GV_MAPPED;
}

/* Where pages come from: a place in a memory file of a process. No inode: nobody else can be given them. */
struct gv_origin {
    int file;
    uint64_t device, inode, offset;
};

struct gv_pool;

/* What cuMemCreate made: its pages are freed when neither a handle nor a mapping is left. */
struct gv_physical {
    struct gv_handle *handle;
    struct gv_state *state;
    int ordinal, unit;
    size_t size;
    void *pages; /* one mapping that is always there; the program's are copies of it */
    unsigned handles, mappings;
    int file; /* to share it by; -1: not to be shared */
    uint64_t device, inode; /* of the file: a program may close it and reuse its number */
    bool imported;
    CUmemAllocationProp properties;
};

struct gv_block {
    uintptr_t start;
    size_t size;
    enum gv_memory_kind kind;
    unsigned flags;
    unsigned opened;        /* GV_IMPORTED: how often */
    int ordinal, unit;      /* the device that it lies on; the host's: that of `context` */
    struct gv_state *state; /* the machine that it was taken from */
    CUcontext context;      /* with which it goes; GV_MAPPED: NULL */
    struct gv_pool *pool;   /* that it was taken from, or NULL */
    struct gv_origin origin;
    struct gv_physical *physical;          /* GV_MAPPED */
    struct gv_devices readable, writable;  /* GV_MAPPED: by which devices */
    unsigned long long id;
};

/* All of these under GV_LOCK_CUDA. A block's address is good until the table changes. */
struct gv_block *gv_block_find(uintptr_t address);
bool gv_block_insert(struct gv_block block);
/* Frees its memory too. */
void gv_block_remove(struct gv_block *block);
/* The first block that `matches`, or NULL. */
struct gv_block *gv_block_search(bool (*matches)(const struct gv_block *, const void *), const void *argument);
/* Gives back what its memory counts for. What was taken of a machine that the program has left since is its to keep. */
void gv_block_give_back(const struct gv_block *block);
bool gv_any_block(void);
/* Whether a block begins in, or reaches into, the range. */
bool gv_block_overlaps(uintptr_t start, size_t size);

/* A copy of the block that an address lies in. Not under the lock. */
bool gv_look_up(uintptr_t address, struct gv_block *copy);

/* Takes memory of a pool, or of the context's device for NULL, and records it in the ledger. Not under the lock. */
CUresult gv_allocate(CUcontext context, enum gv_memory_kind kind, size_t size, unsigned flags, struct gv_pool *pool,
                     CUdeviceptr *pointer);
/* Frees what an address is the start of; false where it is no device memory of this process's own. */
bool gv_free(CUdeviceptr pointer);

/* Pages of the host, committed when written, that further mappings can be made of; NULL where there are none left. */
void *gv_pages_new(size_t size, struct gv_origin *origin);
void gv_pages_free(void *pages, size_t size);
/* Whether `file` is still the one that was opened. */
bool gv_file_is(int file, uint64_t device, uint64_t inode);

/* Takes from, and gives back to, what a pool has. 0 or -ENOMEM. Under the lock. */
int gv_pool_take(struct gv_pool *pool, size_t size);
void gv_pool_give(struct gv_pool *pool, size_t size);
/* What a handle stands for, or NULL; what a device takes memory of, or NULL where there is no room for it. Under the
 * lock. */
struct gv_pool *gv_pool_find(CUmemoryPool handle);
struct gv_pool *gv_pool_current(int ordinal);
int gv_pool_ordinal(const struct gv_pool *pool);
CUmemoryPool gv_pool_handle(const struct gv_pool *pool);
/* The pools of a device keep nothing that is not used. Under the lock. */
void gv_pools_trim(int ordinal);
/* A device's own pool, which keeps nothing; and an end of those, where no other is left. Under the lock. */
bool gv_pool_is_idle(const struct gv_pool *pool);
void gv_pools_forget(void);

#define GV_GRANULARITY ((size_t)2 << 20) /* of what is made and mapped apart */

/* What a handle stands for, or NULL. Under the lock. */
struct gv_physical *gv_physical_find(CUmemGenericAllocationHandle handle);
/* The reference that a mapping had; see struct gv_physical. Under the lock. */
void gv_physical_unmapped(struct gv_physical *physical);
/* Whether an address is inside a reservation, mapped or not. Under the lock. */
bool gv_is_reserved(uintptr_t address);

#endif
