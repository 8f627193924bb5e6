/* The names and meanings of CUDA's error codes. */
#include "cuda_generated.h"
#include "cuda_internal.h"

static const struct gv_error *find(CUresult code)
{
    for (size_t i = 0; i < gv_error_count; i++)
        if (gv_error[i].code == (int)code)
            return &gv_error[i];
    return NULL;
}

/* Both set the text to NULL for a code that is none, as well as returning an error. */

CUresult cuGetErrorName(CUresult code, const char **name)
{
    REQUIRE_VALUE(name);
    const struct gv_error *found = find(code);
    *name = found ? found->name : NULL;
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult code, const char **meaning)
{
    REQUIRE_VALUE(meaning);
    const struct gv_error *found = find(code);
    *meaning = found ? found->meaning : NULL;
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
