/* Memory that is made apart from the addresses where it is mapped, and shared between processes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cuda_memory.h"

/* ---- making it ---- */

static CUresult check_properties(const CUmemAllocationProp *properties)
{
    const int shareable = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    REQUIRE_VALUE(properties);
    REQUIRE_VALUE(properties->type == CU_MEM_ALLOCATION_TYPE_PINNED);
    REQUIRE_VALUE(properties->location.type != CU_MEM_LOCATION_TYPE_INVALID);
    REQUIRE(properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE, CUDA_ERROR_NOT_SUPPORTED);
    REQUIRE_DEVICE(properties->location.id);
    REQUIRE(!((int)properties->requestedHandleTypes & ~shareable), CUDA_ERROR_NOT_SUPPORTED);
    return CUDA_SUCCESS;
}

CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *properties,
                                       CUmemAllocationGranularity_flags option)
{
    REQUIRE_READY();
    REQUIRE_VALUE(granularity && (option == CU_MEM_ALLOC_GRANULARITY_MINIMUM ||
                                  option == CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
    CUresult result = check_properties(properties);
    if (result == CUDA_SUCCESS)
        *granularity = GV_GRANULARITY;
    return result;
}

struct gv_physical *gv_physical_find(CUmemGenericAllocationHandle handle)
{
    struct gv_handle *found = gv_handle_find(GV_PHYSICAL, (const void *)(uintptr_t)handle);
    struct gv_physical *physical = found ? found->data : NULL;
    return physical && physical->handles ? physical : NULL;
}

/* Under the lock: where nothing needs the memory any more, it is given back. */
static void free_if_unused(struct gv_physical *physical)
{
    if (physical->handles || physical->mappings)
        return;
    if (physical->file >= 0 || physical->imported)
        munmap(physical->pages, physical->size); /* whoever else has it keeps it */
    else
        gv_pages_free(physical->pages, physical->size);
    if (gv_file_is(physical->file, physical->device, physical->inode))
        close(physical->file);
    if (!physical->imported && physical->state == gv_driver.state)
        gv_give_memory(physical->state, physical->unit, physical->size);
    gv_handle_free(GV_PHYSICAL, physical->handle);
    free(physical);
}

void gv_physical_unmapped(struct gv_physical *physical)
{
    physical->mappings--;
    free_if_unused(physical);
}

/* Memory that is to be shared has a file of its own. Its name says whose memory it is to whoever imports it. */
#define SHARED_NAME "gpu-visibility-memory:"

static void *open_shared(struct gv_physical *physical)
{
    char name[sizeof SHARED_NAME + GV_UUID_SIZE];
    struct stat status;
    snprintf(name, sizeof name, SHARED_NAME "%s", physical->state->unit[physical->unit].uuid);
    int file = memfd_create(name, MFD_CLOEXEC);
    void *pages = MAP_FAILED;
    if (file >= 0 && ftruncate(file, (off_t)physical->size) == 0 && fstat(file, &status) == 0)
        pages = mmap(NULL, physical->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (pages == MAP_FAILED) {
        if (file >= 0)
            close(file);
        return NULL;
    }
    physical->file = file;
    physical->device = status.st_dev;
    physical->inode = status.st_ino;
    return pages;
}

/* Under the lock. */
static CUresult create(struct gv_physical *physical)
{
    struct gv_origin origin;
    REQUIRE(gv_take_memory(physical->state, physical->unit, physical->size) == 0, CUDA_ERROR_OUT_OF_MEMORY);
    if ((physical->handle = gv_handle_new(GV_PHYSICAL, NULL))) {
        physical->handle->data = physical;
        physical->pages = physical->properties.requestedHandleTypes ? open_shared(physical)
                                                                    : gv_pages_new(physical->size, &origin);
        if (physical->pages)
            return CUDA_SUCCESS;
        gv_handle_free(GV_PHYSICAL, physical->handle);
    }
    gv_give_memory(physical->state, physical->unit, physical->size);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size, const CUmemAllocationProp *properties,
                     unsigned long long flags)
{
    REQUIRE_READY();
    REQUIRE_VALUE(handle && size && size % GV_GRANULARITY == 0 && !flags);
    CUresult result = check_properties(properties);
    REQUIRE(result == CUDA_SUCCESS, result);
    struct gv_physical *physical = malloc(sizeof *physical);
    REQUIRE(physical, CUDA_ERROR_OUT_OF_MEMORY);
    *physical = (struct gv_physical){
        .state = gv_driver.state,
        .ordinal = properties->location.id,
        .unit = gv_driver.unit[properties->location.id],
        .size = size,
        .handles = 1,
        .file = -1,
        .properties = *properties,
    };
    /* What is asked for and not given must not be found among what was given. */
    memset(&physical->properties.allocFlags, 0, sizeof physical->properties.allocFlags);
    gv_lock(GV_LOCK_CUDA);
    result = create(physical);
    gv_unlock(GV_LOCK_CUDA);
    gv_cuda_record(GV_EVENT_ALLOC, NULL, physical->unit, result, size);
    if (result == CUDA_SUCCESS)
        *handle = (CUmemGenericAllocationHandle)(uintptr_t)physical->handle;
    else
        free(physical);
    return result;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    REQUIRE_READY();
    gv_lock(GV_LOCK_CUDA);
    struct gv_physical *physical = gv_physical_find(handle);
    if (physical) {
        physical->handles--;
        free_if_unused(physical);
    }
    gv_unlock(GV_LOCK_CUDA);
    return physical ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *properties, CUmemGenericAllocationHandle handle)
{
    REQUIRE_READY();
    REQUIRE_VALUE(properties);
    gv_lock(GV_LOCK_CUDA);
    struct gv_physical *physical = gv_physical_find(handle);
    if (physical)
        *properties = physical->properties;
    gv_unlock(GV_LOCK_CUDA);
    return physical ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- sharing it ---- */

CUresult cuMemExportToShareableHandle(void *shareable, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType type, unsigned long long flags)
{
    int copy = -1;
    REQUIRE_READY();
    REQUIRE_VALUE(shareable && !flags);
    REQUIRE(type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, CUDA_ERROR_NOT_SUPPORTED);
    gv_lock(GV_LOCK_CUDA);
    struct gv_physical *physical = gv_physical_find(handle);
    if (physical && gv_file_is(physical->file, physical->device, physical->inode))
        copy = fcntl(physical->file, F_DUPFD_CLOEXEC, 0);
    gv_unlock(GV_LOCK_CUDA);
    REQUIRE_VALUE(copy >= 0);
    *(int *)shareable = copy;
    return CUDA_SUCCESS;
}

/* The unit that the name of a file says the memory is of, or -1. */
static int unit_of_file(int file)
{
    char link[32], name[sizeof "/memfd:" SHARED_NAME + GV_UUID_SIZE + sizeof " (deleted)"] = "";
    static const char prefix[] = "/memfd:" SHARED_NAME, suffix[] = " (deleted)";
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length <= 0 || strncmp(name, prefix, sizeof prefix - 1) != 0)
        return -1;
    char *uuid = name + sizeof prefix - 1, *end = strstr(uuid, suffix);
    if (end)
        *end = 0;
    for (int unit = 0; unit < gv_driver.state->unit_count; unit++)
        if (strcmp(gv_driver.state->unit[unit].uuid, uuid) == 0)
            return unit;
    return -1;
}

static int ordinal_of(int unit)
{
    for (int ordinal = 0; ordinal < gv_driver.count; ordinal++)
        if (gv_driver.unit[ordinal] == unit)
            return ordinal;
    return -1;
}

/* The memory stays in the account of the process that made it. */
CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle, void *shareable,
                                        CUmemAllocationHandleType type)
{
    REQUIRE_READY();
    REQUIRE_VALUE(handle);
    REQUIRE(type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, CUDA_ERROR_NOT_SUPPORTED);
    int file = (int)(intptr_t)shareable, unit = unit_of_file(file);
    struct stat status;
    REQUIRE_VALUE(unit >= 0 && fstat(file, &status) == 0 && status.st_size > 0);
    REQUIRE(ordinal_of(unit) >= 0, CUDA_ERROR_INVALID_DEVICE);
    struct gv_physical *physical = malloc(sizeof *physical);
    struct gv_handle *made = gv_handle_new(GV_PHYSICAL, NULL);
    void *pages = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (!physical || !made || pages == MAP_FAILED) {
        free(physical);
        gv_handle_free(GV_PHYSICAL, made);
        if (pages != MAP_FAILED)
            munmap(pages, (size_t)status.st_size);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *physical = (struct gv_physical){
        .handle = made,
        .state = gv_driver.state,
        .ordinal = ordinal_of(unit),
        .unit = unit,
        .size = (size_t)status.st_size,
        .pages = pages,
        .handles = 1,
        .file = fcntl(file, F_DUPFD_CLOEXEC, 0), /* it may be passed on */
        .device = status.st_dev,
        .inode = status.st_ino,
        .imported = true,
        .properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                       .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                       .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = ordinal_of(unit)}},
    };
    made->data = physical;
    *handle = (CUmemGenericAllocationHandle)(uintptr_t)made;
    return CUDA_SUCCESS;
}
