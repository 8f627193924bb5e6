/* What is not offered: an error, and the ledger says which function it was, and on which device. */
#include "cuda_internal.h"
#include "siblings.h"

static int current_unit(void)
{
    CUcontext context;
    return gv_cuda_ready() == CUDA_SUCCESS && gv_current_context(&context) == CUDA_SUCCESS ? context->unit : -1;
}

int gv_cuda_refuse(const char *function)
{
    gv_cuda_record(GV_EVENT_REFUSED, function, current_unit(), CUDA_ERROR_NOT_SUPPORTED, 0);
    return CUDA_ERROR_NOT_SUPPORTED;
}
SAME_AS(gv_driver_refuse, gv_cuda_refuse);
