/*
 * The functions of NCCL and RCCL as C data, from the one table abi/nccl_api.def. All of it is constant: any thread, any
 * time.
 */
#ifndef NCR_ABI_FUNCTIONS_H
#define NCR_ABI_FUNCTIONS_H

#include <stdbool.h>

enum ncr_result { NCR_CODE, NCR_TEXT, NCR_NONE, NCR_NUMBER, NCR_TEAM };
enum ncr_route {
    NCR_COMM0, /* NCR_COMM0 + n: the communicator is argument n */
    NCR_COMM1,
    NCR_COMM2,
    NCR_COMM4 = NCR_COMM0 + 4,
    NCR_COMM5,
    NCR_COMM6,
    NCR_COMM7,
    NCR_COMM9 = NCR_COMM0 + 9,
    NCR_COMM12 = NCR_COMM0 + 12,
    NCR_WINDOW = 32,
    NCR_CREATE,
    NCR_THREAD,
    NCR_MEMORY,
    NCR_GROUP,
    NCR_ALL,
    NCR_WHY
};

struct ncr_function {
    const char *name; /* without the p of the twin */
    int since;        /* major * 10000 + minor * 100 + patch */
    enum ncr_result result;
    enum ncr_route route;
    bool rccl; /* exists in RCCL only */
    bool twin; /* p<name> exists too */
};

#define NCR_CORE_SINCE 20400

/* The rows of the table by name, and their number. */
enum {
#define XX(name, since, result, route) NCR_ROW_##name,
#include "abi/nccl_api.def"
    NCR_ROWS
};

extern const struct ncr_function ncr_functions[NCR_ROWS];

int ncr_row(const char *name);
bool ncr_is_api_name(const char *symbol);

#endif
