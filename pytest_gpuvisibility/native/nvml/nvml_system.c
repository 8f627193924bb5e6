/* libnvidia-ml.so.1: the system, and what of it is the same on every machine. */
#include "nvml_internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

long long gv_nvml_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

nvmlReturn_t gv_nvml_given_up(const struct gv_state *state)
{
    return atoi(state->driver_version) >= 590 ? NVML_ERROR_DEPRECATED : NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    struct gv_state *state;
    TRY(gv_nvml_open(version, &state));
    return gv_nvml_text(version, length, state->driver_version);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    struct gv_state *state;
    TRY(gv_nvml_open(version, &state));
    char text[NVML_SYSTEM_NVML_VERSION_BUFFER_SIZE];
    snprintf(text, sizeof text, "%d.%s", state->cuda_version / 1000, state->driver_version);
    return gv_nvml_text(version, length, text);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    struct gv_state *state;
    TRY(gv_nvml_open(version, &state));
    *version = state->cuda_version;
    return NVML_SUCCESS;
}
SAME_AS(nvmlSystemGetCudaDriverVersion_v2, nvmlSystemGetCudaDriverVersion);

nvmlReturn_t nvmlSystemGetDriverBranch(nvmlSystemDriverBranchInfo_t *branch, unsigned int length)
{
    struct gv_state *state;
    TRY(gv_nvml_open(branch, &state));
    if (branch->version != nvmlSystemDriverBranchInfo_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    char text[sizeof branch->branch];
    snprintf(text, sizeof text, "r%d_00", atoi(state->driver_version));
    return gv_nvml_text(branch->branch, length < sizeof text ? length : sizeof text, text);
}

nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length)
{
    struct gv_state *state;
    TRY(gv_nvml_open(name, &state));
    if (!length)
        return NVML_ERROR_INVALID_ARGUMENT;
    char path[32], command[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NVML_ERROR_NOT_FOUND;
    ssize_t size = read(file, command, sizeof command - 1);
    close(file);
    if (size <= 0)
        return NVML_ERROR_NOT_FOUND; /* a kernel thread, or dead and not yet reaped */
    command[size] = 0;
    snprintf(name, length, "%s", command); /* its first argument, cropped as documented */
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlUnitGetCount(unsigned int *count)
{
    struct gv_state *state;
    TRY(gv_nvml_open(count, &state));
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGetExcludedDeviceCount(unsigned int *count)
{
    struct gv_state *state;
    TRY(gv_nvml_open(count, &state));
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGetExcludedDeviceInfoByIndex(unsigned int index, nvmlExcludedDeviceInfo_t *info)
{
    (void)index;
    struct gv_state *state;
    TRY(gv_nvml_open(info, &state));
    return NVML_ERROR_INVALID_ARGUMENT;
}

/* The former names of two functions: the library exports them, the header only renames them. */
#pragma GCC visibility push(default)
nvmlReturn_t nvmlGetBlacklistDeviceCount(unsigned int *count);
nvmlReturn_t nvmlGetBlacklistDeviceInfoByIndex(unsigned int index, nvmlExcludedDeviceInfo_t *info);
#pragma GCC visibility pop
SAME_AS(nvmlGetBlacklistDeviceCount, nvmlGetExcludedDeviceCount);
SAME_AS(nvmlGetBlacklistDeviceInfoByIndex, nvmlGetExcludedDeviceInfoByIndex);
