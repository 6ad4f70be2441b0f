/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where does each name of the table lead in this process? Reads the address that the shim's entry
 * jumps through, and compares it with the backend's own function of that name (dlmopen is not
 * redirected). A pncclX of a backend without one is X. usage: slot_targets BACKEND         prints
 * wrong names, and counts
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
#define XX(name, since, result, route, makes) #name, "p" #name,
#define XX_SOLO(name, since, result, route, makes) #name,
#include "../../abi/nccl_api.def"
};

#if defined(__x86_64__)
/* ff 25 OFFSET: jmp *OFFSET(%rip) */
static void *behind_entry(const unsigned char *entry) {
    int32_t offset;
    if (entry[0] != 0xff || entry[1] != 0x25)
        return NULL;
    memcpy(&offset, entry + 2, sizeof offset);
    return *(void *const *)(entry + 6 + offset);
}
#elif defined(__aarch64__)
/* ldr x16, OFFSET; br x16 */
static void *behind_entry(const unsigned char *entry) {
    uint32_t word;
    memcpy(&word, entry, sizeof word);
    if ((word & 0xff00001f) != 0x58000010)
        return NULL;
    return *(void *const *)(entry + ((int32_t)(word << 8) >> 13) * 4);
}
#endif

static int same_file(const void *a, const void *b) {
    Dl_info x, y;
    return dladdr(a, &x) && dladdr(b, &y) && x.dli_fbase == y.dli_fbase;
}

/* NCCL's ncclAlltoAll and RCCL's ncclAllToAll are one function: either is called by both names (shim/adapt/adapt.c). */
static const char *spelled_otherwise(const char *name) {
    static const char *const pairs[][2] = {{"ncclAlltoAll", "ncclAllToAll"}, {"pncclAlltoAll", "pncclAllToAll"}};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            if (strcmp(name, pairs[i][j]) == 0)
                return pairs[i][!j];
    return NULL;
}

static void *function_of(void *backend, const char *name) {
    void *function = dlsym(backend, name);
    if (!function && *name == 'p')
        function = dlsym(backend, name + 1);
    return function || !spelled_otherwise(name) ? function : dlsym(backend, spelled_otherwise(name));
}

int main(int argc, char **argv) {
    int version, own = 0, adapted = 0, lacking = 0, wrong = 0;
    int (*get_version)(int *);
    *(void **)&get_version = dlsym(RTLD_DEFAULT, "ncclGetVersion");
    if (argc < 2 || !get_version || get_version(&version) != 0)
        return 2;
    void *backend = dlmopen(LM_ID_BASE, argv[1], RTLD_NOW | RTLD_NOLOAD);
    if (!backend)
        return 2;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsigned char *entry = dlsym(RTLD_DEFAULT, names[i]);
        void *target = entry ? behind_entry(entry) : NULL, *expected = function_of(backend, names[i]);
        if (!target)
            wrong += printf("%s: no entry\n", names[i]) > 0;
        else if (target == expected)
            own++;
        else if (same_file(target, entry))
            *(expected ? &adapted : &lacking) += 1;
        else
            wrong += printf("%s: leads elsewhere\n", names[i]) > 0;
    }
    printf("version=%d own=%d adapted=%d lacking=%d wrong=%d\n", version, own, adapted, lacking, wrong);
    return wrong != 0;
}
