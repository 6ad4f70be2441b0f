/* SPDX-License-Identifier: Apache-2.0 */
/* Calls NCCL wrongly, which needs no GPU, and tells what the tools of tests/libraries counted. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int ncclBcast(void *buffer, size_t count, int type, int root, void *comm, void *stream);
int ncclSend(const void *buffer, size_t count, int type, int peer, void *comm, void *stream);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclGetUniqueId(void *id);
void ncclResetDebugInit(void);

static void *find(const char *name) {
    return dlsym(RTLD_DEFAULT, name);
}

int main(void) {
    static const char *const names[] = {"ncclBcast",    "ncclBroadcast",      "ncclGroupStart",
                                        "ncclGroupEnd", "ncclResetDebugInit", "ncclResetDebugInitInternal"};
    char id[128];
    ncclGetUniqueId(id);
    ncclGroupStart();
    ncclGroupEnd();
    ncclBcast(NULL, 1, 0, 0, NULL, NULL);
    ncclSend(NULL, 1, 0, 0, NULL, NULL);
    if (find("ncclResetDebugInit"))
        ncclResetDebugInit();
    unsigned (*count)(const char *), (*mallocs)(void);
    void *address = find("adapt_tool_count");
    memcpy(&count, &address, sizeof address);
    for (size_t i = 0; count && i < sizeof names / sizeof *names; i++)
        printf("%s %u\n", names[i], count(names[i]));
    address = find("adapt_malloc_count");
    memcpy(&mallocs, &address, sizeof address);
    if (mallocs)
        printf("mallocs %s\n", mallocs() ? "seen" : "not seen");
    return 0;
}
