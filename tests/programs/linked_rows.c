/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls every row of the table that is called ncclFoo…, by both names, for a communicator, window or memory of the
 * second library; what the call makes is used by a function that checks it. tests/test_abi_rows adds such rows.
 *
 * usage: linked_rows SECOND-LIBRARY
 */
#include "../../include/nccl_redirect.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uintptr_t word;
typedef struct {
    char bytes[128];
} id;

int ncclGetUniqueId(id *);
int ncclCommInitAll(void **, int, const int *);
int ncclCommCount(void *, int *);
int ncclCommWindowRegister(void *, void *, size_t, void **, int);
int ncclGetLsaDevicePointer(void *, size_t, int, void **);
int ncclMemAlloc(void **, size_t);
int ncclMemFree(void *);

#define SIXTEEN(name)                                                                                                  \
    name##0, name##1, name##2, name##3, name##4, name##5, name##6, name##7, name##8, name##9, name##10, name##11,      \
        name##12, name##13, name##14, name##15

enum route { SIXTEEN(COMM), WINDOW, MEMORY, CREATE, THREAD, GROUP, ALL, WHY };
enum makes { NOTHING, BEFORE_NEW = 15, SIXTEEN(NEW_COMM), SIXTEEN(NEW_WINDOW), SIXTEEN(NEW_MEMORY) };

static const char *second;
static void *communicator, *window, *memory;

static void call_init(void *symbol) {
    union {
        void *symbol;
        int (*function)(void **, int, id, int, int, int, int, int, int, int);
    } call = {symbol};
    void *made = NULL;
    id id;
    int ranks;
    nccl_redirect_use(second);
    ncclGetUniqueId(&id);
    int code = call.function(&made, 2, id, 3, 4, 5, 6, 7, 8, 9);
    nccl_redirect_use(NULL);
    printf("code %d\n", code ? code : ncclCommCount(made, &ranks));
}

static void call_row(const char *name, enum route route, enum makes makes) {
    union {
        void *symbol;
        int (*function)(word, word, word, word, word, word, word, word, word, word, word, word, word, word, word, word);
    } call = {dlsym(RTLD_DEFAULT, name)};
    void *made = NULL, *pointer;
    word a[16];
    int ranks;
    if (strncmp(name + (*name == 'p'), "ncclFoo", 7) != 0)
        return;
    if (strcmp(name + (*name == 'p'), "ncclFooInit") == 0) {
        call_init(call.symbol);
        return;
    }
    for (int i = 0; i < 16; i++)
        a[i] = 4711;
    if (route <= COMM15)
        a[route] = (word)communicator;
    if (route == WINDOW || route == MEMORY)
        a[0] = (word)(route == WINDOW ? window : memory);
    if (makes != NOTHING)
        a[makes % 16] = (word)&made;
    if (route == CREATE || route == THREAD)
        nccl_redirect_use(second);
    int code = call.function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13],
                             a[14], a[15]);
    nccl_redirect_use(NULL);
    if (!code && makes / 16 == 1)
        code = ncclCommCount(made, &ranks);
    if (!code && makes / 16 == 2)
        code = ncclGetLsaDevicePointer(made, 0, 0, &pointer);
    if (!code && makes / 16 == 3)
        code = ncclMemFree(made);
    printf("code %d\n", code);
}

int main(int count, char **arguments) {
    void *other;
    if (count != 2)
        return 2;
    setvbuf(stdout, NULL, _IONBF, 0);
    second = arguments[1];
    ncclCommInitAll(&other, 1, NULL);
    if (nccl_redirect_use(second))
        return 3;
    ncclCommInitAll(&communicator, 1, NULL);
    ncclCommWindowRegister(communicator, &count, sizeof count, &window, 0);
    ncclMemAlloc(&memory, 1);
    nccl_redirect_use(NULL);
#define XX(name, since, result, route, makes)                                                                          \
    call_row(#name, route, makes);                                                                                     \
    call_row("p" #name, route, makes);
#define RCCL_XX(name, since, result, route, makes)
#include "../../abi/nccl_api.def"
    return 0;
}
