/* SPDX-License-Identifier: Apache-2.0 */
/* Reduction operators: the built-in ones, and those made by ncclRedOpCreatePreMulSum. */
#include "backend.h"

#include <stdlib.h>
#include <string.h>

static struct premul_op *find_premul(ncclComm_t comm, ncclRedOp_t op) {
    int index = (int)op - ncclNumOps;
    return index >= 0 && index < comm->npremuls && comm->premuls[index].used ? &comm->premuls[index] : NULL;
}

/*
 * ncclAvg divides integers once at the end, but multiplies floating-point contributions by 1/nranks before they are
 * added, as NCCL does: the sum of four large halves would overflow.
 */
static void resolve_average(ncclComm_t comm, ncclDataType_t type, struct reduction *reduction) {
    reduction->op = ncclSum;
    if (type_is_floating(type))
        reduction_scale_by_inverse(reduction, type, comm->nranks);
    else
        reduction->divisor = (uint64_t)comm->nranks;
}

ncclResult_t redop_resolve(ncclComm_t comm, ncclRedOp_t op, ncclDataType_t type, struct reduction *reduction) {
    *reduction = (struct reduction){.op = op};
    if (!type_is_reducible(type))
        return fail(ncclInvalidArgument, "type %d can be moved but not reduced over host memory", (int)type);
    if (op >= ncclSum && op <= ncclMin)
        return ncclSuccess;
    if (op == ncclAvg && HOSTMEM_VERSION >= 21003) {
        resolve_average(comm, type, reduction);
        return ncclSuccess;
    }
    const struct premul_op *premul = find_premul(comm, op);
    if (!premul)
        return fail(ncclInvalidArgument, "invalid reduction operator %d", (int)op);
    if (premul->type != type)
        return fail(ncclInvalidArgument, "reduction operator %d is for type %d, not for type %d", (int)op,
                    (int)premul->type, (int)type);
    reduction->op = ncclSum;
    reduction->scaled = true;
    memcpy(reduction->scale, premul->pointer ? premul->pointer : premul->scalar, type_size(type));
    return ncclSuccess;
}

static struct premul_op *claim_premul(ncclComm_t comm) {
    for (int i = 0; i < comm->npremuls; i++)
        if (!comm->premuls[i].used)
            return &comm->premuls[i];
    struct premul_op *premuls = realloc(comm->premuls, (size_t)(comm->npremuls + 1) * sizeof *premuls);
    if (!premuls)
        return NULL;
    comm->premuls = premuls;
    return &comm->premuls[comm->npremuls++];
}

ncclResult_t hostmem_ncclRedOpCreatePreMulSum(ncclRedOp_t *op, void *scalar, ncclDataType_t type,
                                              ncclScalarResidence_t residence, ncclComm_t comm) {
    ncclResult_t result = comm_check(comm, "ncclRedOpCreatePreMulSum");
    if (result != ncclSuccess)
        return result;
    if (!op || !scalar || !type_is_reducible(type))
        return fail(ncclInvalidArgument, "ncclRedOpCreatePreMulSum: op or scalar is NULL, or type %d cannot be reduced",
                    (int)type);
    if (residence != ncclScalarDevice && residence != ncclScalarHostImmediate)
        return fail(ncclInvalidArgument, "ncclRedOpCreatePreMulSum: invalid residence %d", (int)residence);
    struct premul_op *premul = claim_premul(comm);
    if (!premul)
        return fail(ncclSystemError, "out of memory for a reduction operator");
    *premul = (struct premul_op){.used = true, .type = type};
    if (residence == ncclScalarDevice)
        premul->pointer = scalar;
    else
        memcpy(premul->scalar, scalar, type_size(type));
    *op = (ncclRedOp_t)(ncclNumOps + (premul - comm->premuls));
    return ncclSuccess;
}

ncclResult_t hostmem_ncclRedOpDestroy(ncclRedOp_t op, ncclComm_t comm) {
    ncclResult_t result = comm_check(comm, "ncclRedOpDestroy");
    if (result != ncclSuccess)
        return result;
    struct premul_op *premul = find_premul(comm, op);
    if (!premul)
        return fail(ncclInvalidArgument, "ncclRedOpDestroy: %d is not an operator of this communicator", (int)op);
    premul->used = false;
    return ncclSuccess;
}
