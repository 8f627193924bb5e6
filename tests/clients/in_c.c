/* What both libraries say to a C program that finds them with dlopen, and declares what it calls itself. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { SUCCESS = 0, NO_DEVICE = 100 };

struct memory {
    unsigned long long total, free, used;
};

/* nvmlPciInfo_t of nvmlDeviceGetPciInfo_v3 */
struct pci {
    char short_bus_id[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

static void *find(void *library, const char *name)
{
    void *function = dlsym(library, name);
    if (!function) {
        fprintf(stderr, "%s is missing\n", name);
        exit(2);
    }
    return function;
}

static void must(const char *what, int result)
{
    if (result != SUCCESS) {
        fprintf(stderr, "%s answered %d\n", what, result);
        exit(3);
    }
}

static void print_device(int first, const char *uuid, const char *bus, const char *name, unsigned long long memory)
{
    printf("%s{\"uuid\": \"%s\", \"pci_bus_id\": \"%s\", \"name\": \"%s\", \"memory\": %llu}", first ? "" : ", ", uuid,
           bus, name, memory);
}

#define NVML(name, ...) must(#name, ((int (*)())find(nvml, #name))(__VA_ARGS__))
#define CUDA(name, ...) must(#name, ((int (*)())find(cuda, #name))(__VA_ARGS__))

static void list_nvml(void *nvml)
{
    unsigned count;
    NVML(nvmlInit_v2);
    NVML(nvmlDeviceGetCount_v2, &count);
    for (unsigned index = 0; index < count; index++) {
        void *handle;
        char uuid[96], name[96];
        struct pci pci;
        struct memory memory;
        NVML(nvmlDeviceGetHandleByIndex_v2, index, &handle);
        NVML(nvmlDeviceGetUUID, handle, uuid, 96u);
        NVML(nvmlDeviceGetName, handle, name, 96u);
        NVML(nvmlDeviceGetPciInfo_v3, handle, &pci);
        NVML(nvmlDeviceGetMemoryInfo, handle, &memory);
        print_device(index == 0, uuid, pci.bus_id, name, memory.total);
    }
    NVML(nvmlShutdown);
}

static void list_cuda(void *cuda)
{
    int count = 0, result = ((int (*)(unsigned))find(cuda, "cuInit"))(0);
    if (result == NO_DEVICE)
        return;
    must("cuInit", result);
    CUDA(cuDeviceGetCount, &count);
    for (int ordinal = 0; ordinal < count; ordinal++) {
        int device;
        unsigned char bytes[16];
        char uuid[33], name[96], bus[32];
        size_t memory;
        CUDA(cuDeviceGet, &device, ordinal);
        CUDA(cuDeviceGetUuid_v2, bytes, device);
        CUDA(cuDeviceGetName, name, 96, device);
        CUDA(cuDeviceGetPCIBusId, bus, 32, device);
        CUDA(cuDeviceTotalMem_v2, &memory, device);
        for (int i = 0; i < 16; i++)
            snprintf(uuid + 2 * i, 3, "%02x", bytes[i]);
        print_device(ordinal == 0, uuid, bus, name, memory);
    }
}

int main(void)
{
    void *nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW), *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    if (!nvml || !cuda) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    printf("{\"nvml\": [");
    list_nvml(nvml);
    printf("], \"cuda\": [");
    list_cuda(cuda);
    printf("]}\n");
    return 0;
}
