/* A client of cuBLAS and cuBLASLt in C: what a forward pass of a small model calls, and what nobody should.
 *
 *     cublas_client ORDINAL      with libgpuvisibility-cublas.so preloaded
 *
 * Prints, a line each, what was asked and the status. Ends with 0 unless a function is not there. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int call(const char *name, void *library, const intptr_t *a)
{
    /* All arguments are as wide as a register, and as many as cublasGemmStridedBatchedEx has. */
    long (*function)() = (long (*)())dlsym(library, name);
    if (!function) {
        fprintf(stderr, "%s is not there\n", name);
        exit(1);
    }
    return (int)function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14],
                         a[15], a[16], a[17], a[18], a[19], a[20], a[21], a[22]);
}

#define CALL(label, library, name, ...) \
    printf("%s %d\n", label, call(name, library, (intptr_t[23]){__VA_ARGS__}))
#define BLAS(name, ...) CALL(name, RTLD_DEFAULT, name, __VA_ARGS__)
#define P(x) ((intptr_t)(x))

int main(int argc, char **argv)
{
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    void *context = NULL, *blas = NULL, *light = NULL, *product = NULL, *preference = NULL, *layout = NULL;
    intptr_t device = argc > 1 ? atoi(argv[1]) : 0, mode = -1;
    char stray[4096];
    float one = 1;
    struct {
        uint64_t algorithm[8], workspace;
        int state;
        float waves;
        int reserved[4], beyond;
    } found = {.state = -1, .beyond = 42};
    int count = 0;

    CALL("before a context", RTLD_DEFAULT, "cublasCreate_v2", P(&blas));
    CALL("cuInit", cuda, "cuInit", 0);
    CALL("cuDevicePrimaryCtxRetain", cuda, "cuDevicePrimaryCtxRetain", P(&context), device);
    CALL("cuCtxSetCurrent", cuda, "cuCtxSetCurrent", P(context));

    BLAS("cublasCreate_v2", P(&blas));
    BLAS("cublasSetStream_v2", P(blas), 0);
    BLAS("cublasSetWorkspace_v2", P(blas), 0x1000, 4096);
    BLAS("cublasSetMathMode", P(blas), 3);
    BLAS("cublasGetMathMode", P(blas), P(&mode));
    printf("mode %d\n", (int)mode);
    BLAS("cublasSgemm_v2", P(blas), 0, 1, 8, 8, 8, P(&one), 1, 8, 1, 8, P(&one), 1, 8);
    BLAS("cublasSgemmStridedBatched", P(blas), 0, 1, 8, 8, 8, P(&one), 1, 8, 64, 1, 8, 64, P(&one), 1, 8, 64, 2);
    BLAS("cublasGemmEx", P(blas), 0, 0, 8, 8, 8, P(&one), 1, 2, 8, 1, 2, 8, P(&one), 1, 2, 8, 68, -1);
    BLAS("cublasGemmStridedBatchedEx", P(blas), 0, 0, 8, 8, 8, P(&one), 1, 2, 8, 64, 1, 2, 8, 64, P(&one), 1, 2, 8, 64,
         2, 68, -1);

    BLAS("cublasLtCreate", P(&light));
    BLAS("cublasLtMatmulDescCreate", P(&product), 68, 0);
    BLAS("cublasLtMatmulDescSetAttribute", P(product), 3, P(&mode), 4);
    BLAS("cublasLtMatmulPreferenceCreate", P(&preference));
    BLAS("cublasLtMatmulPreferenceSetAttribute", P(preference), 1, P(&mode), 8);
    BLAS("cublasLtMatrixLayoutCreate", P(&layout), 0, 8, 8, 8);
    BLAS("cublasLtMatrixLayoutSetAttribute", P(layout), 5, P(&mode), 4);
    BLAS("cublasLtMatmulAlgoGetHeuristic", P(blas), P(product), P(layout), P(layout), P(layout), P(layout),
         P(preference), 1, P(&found), P(&count));
    printf("found %d state %d beyond %d\n", count, found.state, found.beyond);
    BLAS("cublasLtMatmul", P(light), P(product), P(&one), 1, P(layout), 1, P(layout), P(&one), 1, P(layout), 1,
         P(layout), P(&found), 0, 0, 0);

    CALL("no shape", RTLD_DEFAULT, "cublasSgemm_v2", P(blas), 0, 1, -8, 8, 8, P(&one), 1, 8, 1, 8, P(&one), 1, 8);
    CALL("no handle", RTLD_DEFAULT, "cublasSgemm_v2", P(stray), 0, 1, 8, 8, 8, P(&one), 1, 8, 1, 8, P(&one), 1, 8);
    CALL("a descriptor for a handle", RTLD_DEFAULT, "cublasSetStream_v2", P(product), 0);
    CALL("a handle for a descriptor", RTLD_DEFAULT, "cublasLtMatmulDescDestroy", P(blas));
    CALL("inside a handle", RTLD_DEFAULT, "cublasSetStream_v2", P(blas) + 1, 0);
    CALL("nowhere to write", RTLD_DEFAULT, "cublasCreate_v2", 0);
    CALL("not offered", RTLD_DEFAULT, "cublasSdot_v2", P(blas), 8, 1, 1, 1, 1, 1);
    CALL("not offered, wide", RTLD_DEFAULT, "cublasSgemm_v2_64", P(blas));

    BLAS("cublasLtMatrixLayoutDestroy", P(layout));
    BLAS("cublasLtMatmulPreferenceDestroy", P(preference));
    BLAS("cublasLtMatmulDescDestroy", P(product));
    BLAS("cublasLtDestroy", P(light));
    BLAS("cublasDestroy_v2", P(blas));
    CALL("destroyed twice", RTLD_DEFAULT, "cublasDestroy_v2", P(blas));

    int made = 0;
    void *many;
    while (made < 100000 && call("cublasLtMatmulPreferenceCreate", RTLD_DEFAULT, (intptr_t[23]){P(&many)}) == 0)
        made++;
    printf("descriptors %d\n", made);
    return 0;
}
