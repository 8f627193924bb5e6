/* libgpuvisibility-cublas.so: as much of cuBLAS and cuBLASLt as one forward pass of a small transformers model calls,
 * where kernel launches are skipped (launch="noop").
 *
 * The real libcublas talks to the driver through a private interface, so it cannot run on a simulated machine. This one
 * is loaded before it, under a name of its own, and takes these functions from it. Without symbol versions, it does so
 * whichever version a program asks for: the functions are the same in CUDA 12 and 13. What it does not offer stays the
 * real one's only where no handle is passed (versions, names of errors); everything else is refused.
 *
 * Nothing is computed: a product is recorded as the launch that it would be, and leaves its output as it was. Where
 * launches are errors, so is everything here, CUBLAS_STATUS_NOT_SUPPORTED, and the ledger says which function it was.
 *
 * Types, constants and prototypes are written here after NVIDIA's documentation (docs.nvidia.com/cuda/cublas): the wheel
 * with the headers is hundreds of megabytes. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cublas.h"
#include "core/ledger.h"

#define REQUIRE(condition, status) \
    do {                           \
        if (!(condition))          \
            return (status);       \
    } while (0)

/* ---- handles and descriptors ---- */

enum kind { FREE, HANDLE, MATMUL, PREFERENCE, LAYOUT };

/* What every handle and descriptor points to. In a table, so that a stray pointer is recognised and not followed. */
struct object {
    _Atomic int kind;
    int unit;                   /* of HANDLE: the device it was made for; cuBLAS ties the two */
    _Atomic unsigned math_mode; /* of HANDLE */
};

#define MAX_OBJECTS 4096
static struct object table[MAX_OBJECTS];

static cublasStatus_t create(enum kind kind, int unit, void **result)
{
    static _Atomic unsigned next;
    REQUIRE(result, CUBLAS_STATUS_INVALID_VALUE);
    for (int tried = 0; tried < MAX_OBJECTS; tried++) {
        struct object *object = &table[atomic_fetch_add(&next, 1) % MAX_OBJECTS];
        int free = FREE;
        if (atomic_compare_exchange_strong(&object->kind, &free, kind)) {
            object->unit = unit;
            object->math_mode = CUBLAS_DEFAULT_MATH;
            *result = object;
            return CUBLAS_STATUS_SUCCESS;
        }
    }
    return CUBLAS_STATUS_ALLOC_FAILED;
}

static struct object *find(enum kind kind, const void *pointer)
{
    uintptr_t offset = (uintptr_t)pointer - (uintptr_t)table;
    if (offset >= sizeof table || offset % sizeof *table)
        return NULL;
    struct object *object = &table[offset / sizeof *table];
    return object->kind == (int)kind ? object : NULL;
}

static cublasStatus_t destroy(enum kind kind, void *pointer)
{
    struct object *object = find(kind, pointer);
    int expected = kind;
    REQUIRE(object && atomic_compare_exchange_strong(&object->kind, &expected, FREE),
            kind == HANDLE ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_INVALID_VALUE);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- the machine ---- */

static void record(enum gv_event event, const char *function, int unit, int result)
{
    const struct gv_state *state = gv_machine_reopen();
    struct gv_record record = {
        .event = event,
        .function = function,
        .unit = state && unit >= 0 && unit < state->unit_count ? &state->unit[unit] : NULL,
        .result = result,
        .visible_devices = getenv("CUDA_VISIBLE_DEVICES"),
        .device_order = getenv("CUDA_DEVICE_ORDER"),
    };
    gv_ledger_write(&record);
}

static cublasStatus_t refuse(const char *function)
{
    record(GV_EVENT_REFUSED, function, -1, CUDA_ERROR_NOT_SUPPORTED);
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

/* Products can only be skipped where launches are. */
static bool skips(void)
{
    const struct gv_state *state = gv_machine_reopen();
    return state && state->launch_policy == GV_LAUNCH_NOOP;
}

#define REQUIRE_NOOP()               \
    do {                             \
        if (!skips())                \
            return refuse(__func__); \
    } while (0)

static void *driver_function(const char *name)
{
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    void *function = driver ? dlsym(driver, name) : NULL;
    if (driver)
        dlclose(driver); /* it stays loaded: it was before */
    return function;
}

/* The unit of the calling thread's current device, or -1. */
static int current_unit(void)
{
    int device;
    unsigned char bytes[16];
    char digits[33], found[33];
    int (*get_device)(int *) = (int (*)(int *))driver_function("cuCtxGetDevice");
    int (*get_uuid)(unsigned char *, int) = (int (*)(unsigned char *, int))driver_function("cuDeviceGetUuid_v2");
    const struct gv_state *state = gv_machine_reopen();
    if (!state || !get_device || !get_uuid || get_device(&device) || get_uuid(bytes, device))
        return -1;
    for (int i = 0; i < 16; i++)
        snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
    for (int unit = 0; unit < state->unit_count; unit++) {
        int length = 0;
        for (const char *c = strchr(state->unit[unit].uuid, '-'); c && *c && length < 32; c++)
            if (*c != '-')
                found[length++] = *c;
        if (length == 32 && memcmp(found, digits, 32) == 0)
            return unit;
    }
    return -1;
}

/* ---- cuBLAS ---- */

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    REQUIRE_NOOP();
    REQUIRE(handle, CUBLAS_STATUS_INVALID_VALUE);
    int unit = current_unit();
    REQUIRE(unit >= 0, CUBLAS_STATUS_NOT_INITIALIZED); /* no CUDA context */
    return create(HANDLE, unit, handle);
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    REQUIRE_NOOP();
    return destroy(HANDLE, handle);
}

#define REQUIRE_HANDLE(handle) \
    REQUIRE_NOOP();            \
    REQUIRE(find(HANDLE, handle), CUBLAS_STATUS_NOT_INITIALIZED)

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, void *stream)
{
    (void)stream; /* what is skipped is skipped on any stream */
    REQUIRE_HANDLE(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t size)
{
    REQUIRE_HANDLE(handle);
    REQUIRE(!size || (workspace && (uintptr_t)workspace % 256 == 0), CUBLAS_STATUS_INVALID_VALUE);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, unsigned mode)
{
    REQUIRE_HANDLE(handle);
    find(HANDLE, handle)->math_mode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, unsigned *mode)
{
    REQUIRE_HANDLE(handle);
    REQUIRE(mode, CUBLAS_STATUS_INVALID_VALUE);
    *mode = find(HANDLE, handle)->math_mode;
    return CUBLAS_STATUS_SUCCESS;
}

/* A product that is not computed. */
static cublasStatus_t skip(const char *function, void *handle, bool has_shape)
{
    if (!skips())
        return refuse(function);
    const struct object *object = find(HANDLE, handle);
    REQUIRE(object, CUBLAS_STATUS_NOT_INITIALIZED);
    REQUIRE(has_shape, CUBLAS_STATUS_INVALID_VALUE);
    record(GV_EVENT_LAUNCH, function, object->unit, 0);
    return CUBLAS_STATUS_SUCCESS;
}

static bool is_product(int transa, int transb, int m, int n, int k)
{
    return transa >= 0 && transa <= CUBLAS_OP_CONJG && transb >= 0 && transb <= CUBLAS_OP_CONJG && m >= 0 && n >= 0 &&
           k >= 0;
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, int transa, int transb, int m, int n, int k, const float *alpha,
                              const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc)
{
    (void)a, (void)lda, (void)b, (void)ldb, (void)c, (void)ldc;
    return skip(__func__, handle, is_product(transa, transb, m, n, k) && alpha && beta);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, int transa, int transb, int m, int n, int k,
                                         const float *alpha, const float *a, int lda, long long stride_a,
                                         const float *b, int ldb, long long stride_b, const float *beta, float *c,
                                         int ldc, long long stride_c, int count)
{
    (void)a, (void)lda, (void)stride_a, (void)b, (void)ldb, (void)stride_b, (void)c, (void)ldc, (void)stride_c;
    return skip(__func__, handle, is_product(transa, transb, m, n, k) && alpha && beta && count >= 0);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, int transa, int transb, int m, int n, int k, const void *alpha,
                            const void *a, int type_a, int lda, const void *b, int type_b, int ldb, const void *beta,
                            void *c, int type_c, int ldc, int compute_type, int algorithm)
{
    (void)a, (void)type_a, (void)lda, (void)b, (void)type_b, (void)ldb, (void)c, (void)type_c, (void)ldc;
    (void)compute_type, (void)algorithm;
    return skip(__func__, handle, is_product(transa, transb, m, n, k) && alpha && beta);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, int transa, int transb, int m, int n, int k,
                                          const void *alpha, const void *a, int type_a, int lda, long long stride_a,
                                          const void *b, int type_b, int ldb, long long stride_b, const void *beta,
                                          void *c, int type_c, int ldc, long long stride_c, int count,
                                          int compute_type, int algorithm)
{
    (void)a, (void)type_a, (void)lda, (void)stride_a, (void)b, (void)type_b, (void)ldb, (void)stride_b;
    (void)c, (void)type_c, (void)ldc, (void)stride_c, (void)compute_type, (void)algorithm;
    return skip(__func__, handle, is_product(transa, transb, m, n, k) && alpha && beta && count >= 0);
}

/* ---- cuBLASLt: its handle may be cuBLAS's, as documented ---- */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    REQUIRE_NOOP();
    return cublasCreate_v2(handle);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    REQUIRE_NOOP();
    return destroy(HANDLE, handle);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *descriptor, int compute_type, int scale_type)
{
    (void)compute_type, (void)scale_type;
    REQUIRE_NOOP();
    return create(MATMUL, -1, descriptor);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    REQUIRE_NOOP();
    return create(PREFERENCE, -1, preference);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, int type, uint64_t rows, uint64_t columns,
                                          int64_t leading)
{
    (void)type, (void)rows, (void)columns, (void)leading;
    REQUIRE_NOOP();
    return create(LAYOUT, -1, layout);
}

/* What is set is not looked at: no product is computed. There are no functions to ask for it. */
static cublasStatus_t set_attribute(enum kind kind, const void *object, const void *value, size_t size)
{
    REQUIRE(find(kind, object) && value && size, CUBLAS_STATUS_INVALID_VALUE);
    return CUBLAS_STATUS_SUCCESS;
}

#define DESCRIPTOR(prefix, type, kind)                                                                 \
    cublasStatus_t prefix##Destroy(type object)                                                        \
    {                                                                                                  \
        REQUIRE_NOOP();                                                                                \
        return destroy(kind, object);                                                                  \
    }                                                                                                  \
    cublasStatus_t prefix##SetAttribute(type object, int attribute, const void *value, size_t size)    \
    {                                                                                                  \
        (void)attribute;                                                                               \
        REQUIRE_NOOP();                                                                                \
        return set_attribute(kind, object, value, size);                                               \
    }

DESCRIPTOR(cublasLtMatmulDesc, cublasLtMatmulDesc_t, MATMUL)
DESCRIPTOR(cublasLtMatmulPreference, cublasLtMatmulPreference_t, PREFERENCE)
DESCRIPTOR(cublasLtMatrixLayout, cublasLtMatrixLayout_t, LAYOUT)

/* One algorithm, which needs no workspace. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t *results, int *count)
{
    REQUIRE_HANDLE(handle);
    REQUIRE(find(MATMUL, descriptor) && find(LAYOUT, a) && find(LAYOUT, b) && find(LAYOUT, c) && find(LAYOUT, d) &&
                find(PREFERENCE, preference) && requested > 0 && results && count,
            CUBLAS_STATUS_INVALID_VALUE);
    *results = (cublasLtMatmulHeuristicResult_t){.state = CUBLAS_STATUS_SUCCESS, .waves = 1.0f};
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_size,
                              void *stream)
{
    (void)a, (void)b, (void)c, (void)d, (void)algorithm, (void)workspace, (void)workspace_size, (void)stream;
    return skip(__func__, handle,
                find(MATMUL, descriptor) && find(LAYOUT, a_layout) && find(LAYOUT, b_layout) &&
                    find(LAYOUT, c_layout) && find(LAYOUT, d_layout) && alpha && beta);
}

/* ---- everything else ---- */

#define NAME(name)                                              \
    __attribute__((visibility("default"))) int name(void);      \
    int name(void)                                              \
    {                                                           \
        return refuse(#name);                                   \
    }
#define BOTH(name) NAME(name) NAME(name##_64)
#include "cublas_names.h"
