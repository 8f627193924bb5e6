/* A client of the CUDA runtime in C, compiled against NVIDIA's headers of one release and linked with NVIDIA's library of
 * it, as nvcc's -cudart shared does.
 *
 * Prints a line for each device: everything that a test looks at, and the size of the structure it was read from. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#define CHECK(call)                                                                              \
    do {                                                                                         \
        cudaError_t error = (call);                                                              \
        if (error != cudaSuccess) {                                                              \
            fprintf(stderr, "%s: %s: %s\n", #call, cudaGetErrorName(error), cudaGetErrorString(error)); \
            return 1;                                                                            \
        }                                                                                        \
    } while (0)

static int describe(int device)
{
    struct {
        struct cudaDeviceProp properties;
        unsigned char behind[64];
    } room;
    int runtime, driver;
    memset(&room, 0xa5, sizeof room);
    CHECK(cudaGetDeviceProperties(&room.properties, device));
    CHECK(cudaRuntimeGetVersion(&runtime));
    CHECK(cudaDriverGetVersion(&driver));
    for (size_t i = 0; i < sizeof room.behind; i++)
        if (room.behind[i] != 0xa5)
            return fprintf(stderr, "written beyond the structure\n"), 1;
    printf("{\"uuid\": \"");
    for (int i = 0; i < 16; i++)
        printf("%02x", (unsigned char)room.properties.uuid.bytes[i]);
    printf("\", \"name\": \"%s\", \"memory\": %zu, \"major\": %d, \"minor\": %d, \"bus\": %d, \"clusters\": %d, "
           "\"numa\": %d, \"runtime\": %d, \"driver\": %d}\n",
           room.properties.name, room.properties.totalGlobalMem, room.properties.major, room.properties.minor,
           room.properties.pciBusID, room.properties.clusterLaunch, room.properties.unifiedFunctionPointers, runtime,
           driver);
    return 0;
}

int main(void)
{
    int count;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
        printf("{\"error\": \"%s\", \"count\": %d}\n", cudaGetErrorName(error), count);
        return 0;
    }
    for (int device = 0; device < count; device++)
        if (describe(device))
            return 1;
    return 0;
}
