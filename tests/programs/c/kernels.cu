// A program of nvcc's, linked with -cudart shared: what it is told of its kernels.
#include <cstdio>

__constant__ float table[4];

__global__ void kernel(int *value)
{
    *value = 42;
}

static const char *name(cudaError_t error)
{
    return cudaGetErrorName(error);
}

int main()
{
    int *on_device, value = 7, blocks = 0;
    size_t size = 0;
    float values[4] = {1, 2, 3, 4};
    cudaFuncAttributes attributes;
    printf("malloc %s\n", name(cudaMalloc(&on_device, sizeof value)));
    printf("set %s\n", name(cudaMemcpy(on_device, &value, sizeof value, cudaMemcpyHostToDevice)));
    printf("variable %s\n", name(cudaMemcpyToSymbol(table, values, sizeof values)));
    cudaError_t result = cudaGetSymbolSize(&size, table);
    printf("size %s %zu\n", name(result), size);
    cudaGetLastError();
    kernel<<<1, 32>>>(on_device);
    printf("launch %s\n", name(cudaPeekAtLastError()));
    printf("twice %s\n", name(cudaGetLastError()));
    printf("then %s\n", name(cudaGetLastError()));
    kernel<<<0, 32>>>(on_device);
    printf("empty %s\n", name(cudaGetLastError()));
    result = cudaFuncGetAttributes(&attributes, kernel);
    printf("attributes %s %d\n", name(result), attributes.maxThreadsPerBlock);
    result = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, 256, 0);
    printf("occupancy %s %d\n", name(result), blocks);
    printf("synchronize %s\n", name(cudaDeviceSynchronize()));
    result = cudaMemcpy(&value, on_device, sizeof value, cudaMemcpyDeviceToHost);
    printf("back %s %d\n", name(result), value);
    return 0;
}
