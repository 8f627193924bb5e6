/* A library that asks the CUDA runtime it is linked with how many devices there are. */
#include <cuda_runtime_api.h>

int devices(void)
{
    int count;
    cudaError_t error = cudaGetDeviceCount(&count);
    return error == cudaSuccess ? count : -(int)error;
}
