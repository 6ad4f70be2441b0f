/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the reader. When there is none left, the tool says so and ends. */
#include "trace.h"

#include <stdint.h>
#include <stdlib.h>

static void *checked(void *memory) {
    if (!memory) {
        fputs("nccl-redirect: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/** Zeroed memory, at least one byte. */
void *trace_take(size_t count, size_t size) {
    return checked(calloc(count ? count : 1, size ? size : 1));
}

/** Room for one more item behind `count`; grows by doubling. */
void *trace_more(void *list, size_t count, size_t size) {
    if (count & (count - 1) || (count && count < 8))
        return list;
    size_t room = count < 8 ? 8 : 2 * count;
    return checked(size && room > SIZE_MAX / size ? NULL
                                                  : realloc(list, room * size)); /* NOLINT: reallocarray is of 2.26 */
}
