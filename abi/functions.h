/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of NCCL and RCCL as C data, from the one table abi/nccl_api.def. All of it is constant: any thread, any
 * time.
 */
#ifndef NCR_ABI_FUNCTIONS_H
#define NCR_ABI_FUNCTIONS_H

#include <stdbool.h>

enum ncr_result { NCR_CODE, NCR_TEXT, NCR_NONE, NCR_NUMBER, NCR_TEAM };
/* Arguments 0 to 15 of a column. */
#define NCR_16(name)                                                                                                   \
    name##0, name##1, name##2, name##3, name##4, name##5, name##6, name##7, name##8, name##9, name##10, name##11,      \
        name##12, name##13, name##14, name##15
enum ncr_route {
    NCR_16(NCR_COMM), /* NCR_COMM0 + n: the communicator is argument n */
    NCR_WINDOW,
    NCR_CREATE,
    NCR_THREAD,
    NCR_MEMORY,
    NCR_GROUP,
    NCR_ALL,
    NCR_WHY
};
enum ncr_makes {
    NCR_NOTHING,
    NCR_BEFORE_NEW = 15, /* from 16 on the low four bits are the argument's number */
    NCR_16(NCR_NEW_COMM),
    NCR_16(NCR_NEW_WINDOW),
    NCR_16(NCR_NEW_MEMORY)
};

enum { NCR_MOST_NAME = 40 }; /* bytes of a name with its NUL; a longer one does not compile */

/* Without pointers: each would cost a relocation at the start of every process. The columns are the enumerations above. */
struct ncr_function {
    char name[NCR_MOST_NAME]; /* without the p of the profiling alias */
    int since;                /* major * 10000 + minor * 100 + patch */
    unsigned char result, route, makes;
    bool rccl;  /* exists in RCCL only */
    bool alias; /* the profiling alias p<name> exists too */
};

#define NCR_CORE_SINCE 20400

/* The rows of the table by name, and their number. */
enum {
#define XX(name, since, result, route, makes) NCR_ROW_##name,
#include "abi/nccl_api.def"
    NCR_ROWS
};

extern const struct ncr_function ncr_functions[NCR_ROWS];

int ncr_row(const char *name);
bool ncr_is_api_name(const char *symbol);

#endif
