/* Everything that reads a machine's state, on damaged files: gv_snapshot and the other functions for Python, NVML, CUDA.
 *
 * Input: one byte of flags (1: cut the file at the end of what the patches wrote; 2: give it the checksum that it ought
 * to have, and its magic number, so that the checks behind those are reached; 4: cut it to `offset` of the last patch),
 * then patches of a 4-byte offset, a 1-byte length, and so many bytes. */
#include <assert.h>
#include <cuda.h>
#include <fcntl.h>
#include <limits.h>
#include <nvml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/ledger.h"
#include "core/mask.h"
#include "core/state.h"
#include "machine.h"

static char directory[PATH_MAX / 2]; /* under TMPDIR */
static char file[PATH_MAX], ledger[PATH_MAX];
static struct gv_state *pristine;

static void remove_machine(void)
{
    unlink(file);
    unlink(ledger);
    rmdir(directory);
}

static void make_machine(void)
{
    struct gv_state *state;
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/fuzz-state-XXXXXX", parent ? parent : "/tmp");
    assert(mkdtemp(directory) && gv_create(directory, DESCRIPTION) == 0 && gv_state_map(directory, &state) == 0);
    snprintf(file, sizeof file, "%s/state", directory);
    snprintf(ledger, sizeof ledger, "%s/ledger.jsonl", directory);
    pristine = malloc(sizeof *pristine);
    memcpy(pristine, state, sizeof *state);
    gv_state_unmap(state);
    atexit(remove_machine);
}

/* Where a patch goes: mostly into what is used of the file. */
static size_t place(const unsigned char *data)
{
    uint32_t offset;
    memcpy(&offset, data, sizeof offset);
    switch (offset >> 30) {
    case 0:
        return offset % sizeof *pristine;
    case 1:
        return offsetof(struct gv_state, lock) + offset % 1024;
    case 2:
        return offsetof(struct gv_state, unit) + offset % (4 * sizeof(struct gv_unit));
    default:
        return offset % 2048;
    }
}

/* Writes the damaged file; touches only what a patch does, for it is 8 MB. */
static void damage(const unsigned char *data, size_t size)
{
    static unsigned char *bytes;
    static struct { size_t offset, length; } undo[64];
    static size_t undo_count;
    unsigned flags = *data++;
    size_t length = sizeof *pristine;
    int descriptor = open(file, O_RDWR);
    assert(descriptor >= 0 && ftruncate(descriptor, (off_t)length) == 0);
    if (bytes)
        munmap(bytes, length);
    bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    assert(bytes != MAP_FAILED);
    memcpy(bytes, pristine, offsetof(struct gv_state, process) + 8 * sizeof(struct gv_process));
    for (size_t i = 0; i < undo_count; i++)
        memcpy(bytes + undo[i].offset, (unsigned char *)pristine + undo[i].offset, undo[i].length);
    undo_count = 0;
    size_t last = length;
    for (size--; size > 5 && undo_count < 64;) {
        size_t offset = place(data), count = data[4] < size - 5 ? data[4] : size - 5;
        if (count > length - offset)
            count = length - offset;
        memcpy(bytes + offset, data + 5, count);
        undo[undo_count].offset = offset;
        undo[undo_count++].length = count;
        last = offset;
        size -= 5 + count;
        data += 5 + count;
    }
    struct gv_state *state = (struct gv_state *)bytes;
    if (flags & 2) {
        state->magic = GV_STATE_MAGIC;
        state->size = sizeof *state;
        state->checksum = gv_state_checksum(state);
    }
    if (flags & 4)
        assert(ftruncate(descriptor, (off_t)last) == 0);
    close(descriptor);
}

static void use_libraries(void)
{
    static char buffer[1 << 16];
    int count = 0;
    unsigned int gpus = 0;
    CUdevice device;
    CUcontext context;
    CUdeviceptr pointer;
    size_t available, total;
    if (cuInit(0) == CUDA_SUCCESS && cuDeviceGetCount(&count) == CUDA_SUCCESS)
        for (int i = 0; i < count; i++) {
            cuDeviceGet(&device, i);
            cuDeviceGetName(buffer, sizeof buffer, device);
            cuDeviceGetPCIBusId(buffer, sizeof buffer, device);
            cuDeviceGetUuid_v2((CUuuid *)buffer, device);
            cuDeviceTotalMem_v2(&total, device);
            for (int attribute = 1; attribute < CU_DEVICE_ATTRIBUTE_MAX; attribute++)
                cuDeviceGetAttribute(&count, (CUdevice_attribute)attribute, device);
            cuDeviceGetCount(&count);
            if (cuDevicePrimaryCtxRetain(&context, device) != CUDA_SUCCESS)
                continue;
            cuCtxSetCurrent(context);
            if (cuMemAlloc_v2(&pointer, 1 << 20) == CUDA_SUCCESS)
                cuMemFree_v2(pointer);
            cuMemGetInfo_v2(&available, &total);
            cuDevicePrimaryCtxRelease_v2(device);
        }
    if (nvmlInit_v2() != NVML_SUCCESS)
        return;
    nvmlDeviceGetCount_v2(&gpus);
    for (unsigned int i = 0; i < gpus; i++) {
        nvmlDevice_t handle, slice;
        nvmlMemory_t memory;
        nvmlPciInfo_t bus;
        nvmlProcessInfo_t processes[64];
        unsigned int found = 64;
        if (nvmlDeviceGetHandleByIndex_v2(i, &handle) != NVML_SUCCESS)
            continue;
        nvmlDeviceGetName(handle, buffer, 96);
        nvmlDeviceGetUUID(handle, buffer, 96);
        nvmlDeviceGetPciInfo_v3(handle, &bus);
        nvmlDeviceGetMemoryInfo(handle, &memory);
        nvmlDeviceGetComputeRunningProcesses_v3(handle, &found, processes);
        for (unsigned int j = 0; j < 8; j++)
            if (nvmlDeviceGetMigDeviceHandleByIndex(handle, j, &slice) == NVML_SUCCESS) {
                nvmlDeviceGetUUID(slice, buffer, 96);
                nvmlDeviceGetMemoryInfo(slice, &memory);
            }
    }
    nvmlShutdown();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static char buffer[1 << 18];
    if (!size)
        return 0;
    if (!pristine)
        make_machine();
    damage(data, size);
    long length = gv_snapshot(directory, buffer, sizeof buffer);
    assert(length < 0 || length > 2);
    gv_lost_records(directory);
    gv_set_compute_mode(directory, (signed char)data[0], 0);
    gv_set_faults(directory, (signed char)data[0], 0);
    /* A file that is damaged under a mapping is not survived, so the libraries see only what is refused or consistent:
     * they are put on the machine anew each time, under another name, and the harness forgets the one before. */
    struct gv_state *state, *before = gv_machine();
    if (gv_state_map(directory, &state))
        return 0;
    gv_state_unmap(state);
    static bool other;
    char name[sizeof directory + 2];
    snprintf(name, sizeof name, "%s%s", directory, (other = !other) ? "/." : "");
    setenv("GPU_VISIBILITY_MACHINE", name, 1);
    use_libraries();
    assert(truncate(ledger, 0) == 0); /* or millions of inputs fill the disk */
    if (before && before != gv_machine())
        gv_state_unmap(before);
    return 0;
}
