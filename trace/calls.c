/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and classes for the numbers in a record. Numbers of a newer NCCL have no name here, and are shown as they are.
 */
#include "trace.h"

static const struct trace_call unknown = {"an unknown function", TRACE_LOCAL, TRACE_NO_FUNCTION, -1};

static const struct trace_call calls[] = {
    {"no function", TRACE_LOCAL, TRACE_NO_FUNCTION, -1},
#define CALL(name, class, like, count, type, op, peer, comm, stream)                                                   \
    {#name, TRACE_##class, TRACE_##like, (comm) == NO ? -1 : (comm)},
#include "calls.def"
};

/** The row of calls.def; never NULL. */
const struct trace_call *trace_call(unsigned function) {
    return function < TRACE_FUNCTIONS ? &calls[function] : &unknown;
}

bool trace_is_collective(unsigned function) {
    return trace_call(function)->class == TRACE_COLLECTIVE || function == TRACE_ncclCommSplit;
}

/** Without the prefix, as torch's flight recorder and NCCL's RAS name calls. */
const char *trace_call_name(unsigned function) {
    const char *name = trace_call(function)->name;
    return function && function < TRACE_FUNCTIONS ? name + sizeof "nccl" - 1 : name;
}

static const struct {
    const char *name;
    unsigned size;
} types[] = {{"int8", 1},    {"uint8", 1},   {"int32", 4},   {"uint32", 4},   {"int64", 8},      {"uint64", 8},
             {"float16", 2}, {"float32", 4}, {"float64", 8}, {"bfloat16", 2}, {"float8e4m3", 1}, {"float8e5m2", 1}};

const char *trace_type_name(unsigned type) {
    return type < sizeof types / sizeof *types ? types[type].name : "unknown type";
}

/** Bytes of an element; 1 where there is no type, since counts are in bytes there. */
unsigned trace_type_size(unsigned type) {
    return type < sizeof types / sizeof *types ? types[type].size : 1;
}

const char *trace_operator_name(unsigned op) {
    static const char *const names[] = {"sum", "prod", "max", "min", "avg", "custom operator"};
    return op < sizeof names / sizeof *names ? names[op] : "unknown operator";
}

const char *trace_result_name(unsigned result) {
    static const char *const names[] = {"ncclSuccess",       "ncclUnhandledCudaError", "ncclSystemError",
                                        "ncclInternalError", "ncclInvalidArgument",    "ncclInvalidUsage",
                                        "ncclRemoteError",   "ncclInProgress",         "ncclTimeout"};
    return result < sizeof names / sizeof *names ? names[result] : "an unknown result";
}
