/* How programs find the functions: cuGetProcAddress, and the private tables that are not offered. */
#include <string.h>

#include "cuda_generated.h"
#include "cuda_internal.h"

struct search {
    const struct gv_address *found; /* the newest that the program may have */
    bool known;                     /* there is one, maybe too new */
};

/* The newest ABI of `symbol` that is not newer than `version`. A per-thread variant wins where it is asked for; the rows
 * of a name come with its ordinary ABIs and its per-thread ones each in ascending order. */
static struct search find(const char *symbol, int version, bool per_thread)
{
    struct search search = {NULL, false};
    for (size_t i = 0; i < gv_address_count; i++) {
        const struct gv_address *address = &gv_address[i];
        if (strcmp(address->base, symbol) != 0 || (address->per_thread && !per_thread))
            continue;
        search.known = true;
        if (address->version <= version && (!search.found || address->per_thread >= search.found->per_thread))
            search.found = address;
    }
    return search;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    const cuuint64_t known = CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    REQUIRE_VALUE(symbol && function && !(flags & ~known));
    *function = NULL;
    if (status)
        *status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    struct gv_state *state = gv_machine();
    REQUIRE_VALUE(!state || version <= state->cuda_version);
    struct search search = find(symbol, version, flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
    if (search.found)
        *function = search.found->function;
    if (status && search.known)
        *status = search.found ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
    return CUDA_SUCCESS;
}

/* The older one has no status: a function that is not there is an error. */
CUresult cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags)
{
    CUresult result = cuGetProcAddress_v2(symbol, function, version, flags, NULL);
    return result == CUDA_SUCCESS && !*function ? CUDA_ERROR_NOT_FOUND : result;
}

/* What it would lead to is private to NVIDIA's own libraries; a statically linked CUDA runtime cannot do without. */
CUresult cuGetExportTable(const void **table, const CUuuid *id)
{
    (void)id;
    gv_cuda_note_runtime();
    if (table)
        *table = NULL;
    return (CUresult)gv_cuda_refuse(__func__);
}

/* cudaProfiler.h is not among the headers. */
#pragma GCC visibility push(default)
CUresult cuProfilerStart(void);
CUresult cuProfilerStop(void);
#pragma GCC visibility pop

CUresult cuProfilerStart(void)
{
    REQUIRE_READY();
    return CUDA_SUCCESS;
}

CUresult cuProfilerStop(void)
{
    REQUIRE_READY();
    return CUDA_SUCCESS;
}
