/* Memory and events between processes.
 *
 * A handle names a process of the machine and, for memory, a part of the memory file that it allocates from, which the
 * other process opens through /proc/<pid>/fd. That takes what the kernel asks for there: the same user (or privilege)
 * and the same PID namespace, as NVIDIA's driver does. The memory stays in the account of the process that allocated it.
 * An event tells only that work is finished, and all work is finished when its call returns: an imported one is ready
 * at once, and does not wait for host functions that still run in the process that it came from. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda_memory.h"

#define MEMORY_MAGIC 0x4d495647u
#define EVENT_MAGIC 0x45495647u

struct memory_handle {
    uint32_t magic;
    int32_t pid;
    uint64_t start; /* of the process, so that a reused pid is not taken for it */
    int32_t file, unit;
    uint64_t device, inode, offset, size;
    uint64_t unused;
};
_Static_assert(sizeof(struct memory_handle) == sizeof(CUipcMemHandle), "a memory handle is as large as CUDA's");

struct event_handle {
    uint32_t magic;
    int32_t pid;
    uint64_t start, id;
    uint64_t unused[5];
};
_Static_assert(sizeof(struct event_handle) == sizeof(CUipcEventHandle), "an event handle is as large as CUDA's");

static bool is_alive(int32_t pid, uint64_t start)
{
    return pid > 0 && start && gv_process_start(pid) == start;
}

/* ---- memory ---- */

static bool can_share(const struct gv_block *block)
{
    return block->kind == GV_DEVICE && !block->pool && block->unit < gv_driver.state->device_count;
}

CUresult cuIpcGetMemHandle(CUipcMemHandle *handle, CUdeviceptr pointer)
{
    struct gv_block block;
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(handle && gv_look_up((uintptr_t)pointer, &block) && can_share(&block));
    REQUIRE(gv_file_is(block.origin.file, block.origin.device, block.origin.inode), CUDA_ERROR_MAP_FAILED);
    const struct memory_handle made = {
        .magic = MEMORY_MAGIC,
        .pid = getpid(),
        .start = gv_process_start(getpid()),
        .file = block.origin.file,
        .unit = block.unit,
        .device = block.origin.device,
        .inode = block.origin.inode,
        .offset = block.origin.offset,
        .size = block.size,
    };
    memcpy(handle, &made, sizeof made);
    return CUDA_SUCCESS;
}

struct wanted {
    const struct memory_handle *handle;
    CUcontext context;
};

static bool is_import_of(const struct gv_block *block, const void *argument)
{
    const struct wanted *wanted = argument;
    return block->kind == GV_IMPORTED && block->context == wanted->context &&
           block->origin.device == wanted->handle->device && block->origin.inode == wanted->handle->inode &&
           block->origin.offset == wanted->handle->offset;
}

static void *map_import(const struct memory_handle *handle)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)handle->pid, (int)handle->file);
    int file = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    void *pages = MAP_FAILED;
    if (gv_file_is(file, handle->device, handle->inode))
        pages = mmap(NULL, handle->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file,
                     (off_t)handle->offset);
    if (file >= 0)
        close(file);
    return pages == MAP_FAILED ? NULL : pages;
}

/* Under the lock. */
static CUresult import(const struct memory_handle *handle, CUcontext context, CUdeviceptr *pointer)
{
    const struct wanted wanted = {handle, context};
    struct gv_block *known = gv_block_search(is_import_of, &wanted);
    if (known) {
        known->opened++;
        *pointer = known->start;
        return CUDA_SUCCESS;
    }
    void *pages = map_import(handle);
    REQUIRE(pages, CUDA_ERROR_MAP_FAILED);
    struct gv_block block = {
        .start = (uintptr_t)pages,
        .size = handle->size,
        .kind = GV_IMPORTED,
        .opened = 1,
        .ordinal = context->ordinal,
        .unit = handle->unit,
        .state = gv_driver.state,
        .context = context,
        .origin = {-1, handle->device, handle->inode, handle->offset},
    };
    for (int ordinal = 0; ordinal < gv_driver.count; ordinal++)
        if (gv_driver.unit[ordinal] == handle->unit)
            block.ordinal = ordinal;
    if (!gv_block_insert(block)) {
        munmap(pages, block.size);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *pointer = block.start;
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *pointer, CUipcMemHandle given, unsigned int flags)
{
    struct memory_handle handle;
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(pointer && flags == CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
    memcpy(&handle, &given, sizeof handle);
    REQUIRE(handle.magic == MEMORY_MAGIC && handle.size, CUDA_ERROR_INVALID_VALUE);
    REQUIRE_VALUE(handle.unit >= 0 && handle.unit < gv_driver.state->device_count);
    REQUIRE(handle.pid != getpid(), CUDA_ERROR_INVALID_CONTEXT); /* a process cannot open what is its own */
    REQUIRE(is_alive(handle.pid, handle.start), CUDA_ERROR_MAP_FAILED);
    REQUIRE(context->unit == handle.unit || gv_can_access(context->unit, handle.unit), CUDA_ERROR_MAP_FAILED);
    gv_lock(GV_LOCK_CUDA);
    CUresult result = import(&handle, context, pointer);
    gv_unlock(GV_LOCK_CUDA);
    if (result == CUDA_SUCCESS && handle.unit != context->unit)
        gv_cuda_record_peer("cuIpcOpenMemHandle", handle.unit);
    return result;
}
SAME_AS(cuIpcOpenMemHandle, cuIpcOpenMemHandle_v2);

CUresult cuIpcCloseMemHandle(CUdeviceptr pointer)
{
    REQUIRE_CONTEXT(context);
    gv_lock(GV_LOCK_CUDA);
    struct gv_block *block = gv_block_find((uintptr_t)pointer);
    bool found = block && block->start == pointer && block->kind == GV_IMPORTED;
    if (found && --block->opened == 0)
        gv_block_remove(block);
    gv_unlock(GV_LOCK_CUDA);
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- events ---- */

CUresult cuIpcGetEventHandle(CUipcEventHandle *handle, CUevent event)
{
    REQUIRE_READY();
    REQUIRE_VALUE(handle);
    const struct gv_handle *found = gv_handle_find(GV_EVENT, event);
    REQUIRE(found && !found->imported, CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(found->flags & CU_EVENT_INTERPROCESS, CUDA_ERROR_INVALID_HANDLE);
    const struct event_handle made = {
        .magic = EVENT_MAGIC, .pid = getpid(), .start = gv_process_start(getpid()), .id = found->id};
    memcpy(handle, &made, sizeof made);
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenEventHandle(CUevent *event, CUipcEventHandle given)
{
    struct event_handle handle;
    REQUIRE_CONTEXT(context);
    REQUIRE_VALUE(event);
    memcpy(&handle, &given, sizeof handle);
    REQUIRE_VALUE(handle.magic == EVENT_MAGIC);
    REQUIRE(handle.pid != getpid(), CUDA_ERROR_INVALID_CONTEXT);
    REQUIRE(is_alive(handle.pid, handle.start), CUDA_ERROR_MAP_FAILED);
    struct gv_handle *made = gv_handle_new(GV_EVENT, context);
    REQUIRE(made, CUDA_ERROR_MAP_FAILED);
    made->flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING;
    made->imported = true;
    *event = (CUevent)made;
    return CUDA_SUCCESS;
}
