/* The table of all memory that this process knows of: blocks, by address. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cuda_memory.h"

/* Under GV_LOCK_CUDA. */
static struct gv_block *blocks;
static size_t block_count, block_room;
static unsigned long long last_id;

/* Where the first block beyond `address` is. */
static size_t position_after(uintptr_t address)
{
    size_t low = 0, high = block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (blocks[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct gv_block *gv_block_find(uintptr_t address)
{
    size_t after = position_after(address);
    struct gv_block *block = after ? &blocks[after - 1] : NULL;
    return block && address - block->start < block->size ? block : NULL;
}

struct gv_block *gv_block_search(bool (*matches)(const struct gv_block *, const void *), const void *argument)
{
    for (size_t i = 0; i < block_count; i++)
        if (matches(&blocks[i], argument))
            return &blocks[i];
    return NULL;
}

bool gv_any_block(void)
{
    return block_count > 0;
}

bool gv_block_overlaps(uintptr_t start, size_t size)
{
    size_t after = position_after(start);
    return gv_block_find(start) || (after < block_count && blocks[after].start - start < size);
}

bool gv_block_insert(struct gv_block block)
{
    if (block_count == block_room) {
        size_t room = block_room ? 2 * block_room : 64;
        struct gv_block *grown = realloc(blocks, room * sizeof *grown);
        if (!grown)
            return false;
        blocks = grown;
        block_room = room;
    }
    size_t position = position_after(block.start);
    memmove(&blocks[position + 1], &blocks[position], (block_count - position) * sizeof *blocks);
    block.id = ++last_id;
    blocks[position] = block;
    block_count++;
    return true;
}

void gv_block_give_back(const struct gv_block *block)
{
    if (block->pool)
        gv_pool_give(block->pool, block->size);
    else if (gv_counts(block->kind) && block->state == gv_driver.state)
        gv_give_memory(block->state, block->unit, block->size);
}

/* Gives a block's memory back; the table is the caller's to mend. */
static void free_block(const struct gv_block *block)
{
    void *pages = (void *)block->start;
    if (block->kind == GV_DEVICE)
        gv_pages_free(pages, block->size);
    else if (block->kind == GV_MAPPED) /* the addresses stay reserved */
        mmap(pages, block->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    else if (block->kind != GV_REGISTERED)
        munmap(pages, block->size);
    if (block->kind == GV_MAPPED)
        gv_physical_unmapped(block->physical);
    gv_block_give_back(block);
}

void gv_block_remove(struct gv_block *block)
{
    free_block(block);
    size_t position = (size_t)(block - blocks);
    memmove(block, block + 1, (--block_count - position) * sizeof *blocks);
}

void gv_forget_memory(CUcontext context)
{
    size_t kept = 0;
    for (size_t i = 0; i < block_count; i++) {
        if (blocks[i].context == context)
            free_block(&blocks[i]);
        else
            blocks[kept++] = blocks[i];
    }
    block_count = kept;
    gv_pools_trim(context->ordinal);
}

bool gv_look_up(uintptr_t address, struct gv_block *copy)
{
    gv_lock(GV_LOCK_CUDA);
    struct gv_block *block = gv_block_find(address);
    if (block)
        *copy = *block;
    gv_unlock(GV_LOCK_CUDA);
    return block != NULL;
}
