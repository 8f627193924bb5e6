/* What CUDA shows to a process with this environment, as JSON on standard output. Opens no context. */
#include <cuda.h>
#include <dlfcn.h>
#include <stdio.h>

typedef CUresult (*init_function)(unsigned flags);
typedef CUresult (*count_function)(int *count);
typedef CUresult (*name_function)(char *name, int size, CUdevice device);
typedef CUresult (*uuid_function)(CUuuid *uuid, CUdevice device);
typedef CUresult (*bus_function)(char *bus, int size, CUdevice device);

#define NO_DRIVER (-1) /* the result where libcuda.so.1 cannot be loaded, or lacks a function */

static void print_uuid(const char *kind, const CUuuid *uuid)
{
    printf("%s", kind);
    for (int i = 0; i < 16; i++)
        printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", (unsigned char)uuid->bytes[i]);
}

/* A name that a driver gives is printable ASCII; what else it might hold must not break the JSON. */
static void print_text(const char *text)
{
    for (; *text; text++)
        if (*text >= 0x20 && *text < 0x7f && *text != '"' && *text != '\\')
            putchar(*text);
}

int main(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    init_function init = library ? (init_function)dlsym(library, "cuInit") : NULL;
    count_function get_count = library ? (count_function)dlsym(library, "cuDeviceGetCount") : NULL;
    name_function get_name = library ? (name_function)dlsym(library, "cuDeviceGetName") : NULL;
    uuid_function get_uuid = library ? (uuid_function)dlsym(library, "cuDeviceGetUuid_v2") : NULL;
    bus_function get_bus = library ? (bus_function)dlsym(library, "cuDeviceGetPCIBusId") : NULL;
    int result = NO_DRIVER, count = 0;
    if (init && get_count && get_name && get_uuid && get_bus)
        result = (int)init(0);
    if (result == CUDA_SUCCESS)
        result = (int)get_count(&count);

    printf("{\"result\": %d, \"devices\": [", result);
    for (int device = 0; device < count; device++) {
        CUuuid uuid = {{0}};
        char name[256] = "", bus[64] = "";
        get_uuid(&uuid, device);
        get_name(name, sizeof name, device);
        get_bus(bus, sizeof bus, device);
        printf("%s{\"ordinal\": %d, \"uuid\": \"", device ? ", " : "", device);
        print_uuid("GPU-", &uuid);
        printf("\", \"name\": \"");
        print_text(name);
        printf("\", \"pci_bus_id\": \"");
        print_text(bus);
        printf("\"}");
    }
    printf("]}\n");
    return 0;
}
