/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment, read in two ways.
 *
 * Variables that name folders (LD_LIBRARY_PATH, NCCL_HOME, VIRTUAL_ENV, …) are read as they were when the process
 * started: the dynamic loader and Python read them then too, and modules that set NCCL_HOME in their own process must
 * not change what was predicted before. Copied by the constructor: programs write their title over the place where the
 * kernel put the variables (setproctitle).
 *
 * Variables that choose (NCCL_REDIRECT, vLLM's variables) are read as they are at the decision: a Python program sets
 * them before it imports torch. Another thread may be inside setenv then, which moves the array and frees the old one.
 * C has no lock for that, so the array is read by process_vm_readv from the process itself, which fails where memory is
 * gone instead of raising SIGSEGV, and again if it was moved meanwhile.
 */
#include "every_process.h"
#include "loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

extern char **environ;

/* ---- as it was at the start ---- */

static const char start_names[][26] = {
    "LD_LIBRARY_PATH",
    "LD_LIBRARY_PATH_ORIG",
    "NCCL_HOME",
    "CUDA_HOME",
    "PYTHONPATH",
    "NIX_PYTHONPATH",
    "GUIX_PYTHONPATH",
    "EBPYTHONPREFIXES",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PATH",
    "PYTHONUSERBASE",
    "PYTHONNOUSERSITE",
    "HOME",
    "PYENV_VERSION",
    "Torch_DIR",
    "LIBTORCH",
    "APPDIR",
    "_MEIPASS2",
    "_PYI_APPLICATION_HOME_DIR",
    "NCCL_REDIRECT_BIND", /* when, not which; asked for at each dlopen */
};

enum { START_NAMES = sizeof start_names / sizeof *start_names };

/* Written by the constructor, before there are other threads. */
NCR_EVERY_PROCESS_DATA static char **start_array;                     /* what environ was, NULL if nobody noted it */
NCR_EVERY_PROCESS_DATA static const char *start_entries[START_NAMES]; /* "NAME=value" */
static char start_copy[16 << 10]; /* of them; in every process, so without an allocation */

/* The value of an entry of this name, or NULL. */
NCR_EVERY_PROCESS static const char *value_of(const char *entry, const char *name) {
    while (entry && *name && *entry == *name)
        entry++, name++;
    return entry && !*name && *entry == '=' ? entry + 1 : NULL;
}

/* What does not fit is not copied: it is right as long as nobody writes a title over it. */
NCR_EVERY_PROCESS static const char *copy_entry(const char *entry, size_t *used) {
    char *copy = start_copy + *used;
    size_t room = sizeof start_copy - *used, size = 0;
    do {
        if (size == room)
            return entry;
        copy[size] = entry[size];
    } while (entry[size++]);
    *used += size;
    return copy;
}

/* Does the name of any of them begin with this? */
NCR_EVERY_PROCESS static bool is_initial(char c) {
    switch (c) {
    case 'A':
    case 'C':
    case 'E':
    case 'G':
    case 'H':
    case 'L':
    case 'N':
    case 'P':
    case 'T':
    case 'V':
    case '_':
        return true;
    default:
        return false;
    }
}

/** For the constructor, which runs in every process: copy the variables that lead to folders. */
NCR_EVERY_PROCESS void ncr_environment_note_start(void) {
    size_t used = 0;
    start_array = environ;
    for (char **entry = environ; entry && *entry; entry++) {
        for (int i = 0; is_initial(**entry) && i < START_NAMES; i++)
            if (**entry == *start_names[i] && !start_entries[i] && value_of(*entry, start_names[i]))
                start_entries[i] = copy_entry(*entry, &used);
    }
}

/**
 * The value of a variable that leads to folders, as it was when the process started; of another one, or where nobody
 * noted the start (the tool), as it is now. NULL if it is unset, empty, or this is a set-uid process.
 */
NCR_EVERY_PROCESS const char *ncr_environment(const char *name) {
    if (getauxval(AT_SECURE))
        return NULL;
    const char *value = NULL;
    int i = 0;
    while (start_array && i < START_NAMES && !(ncr_begins(name, start_names[i]) && ncr_begins(start_names[i], name)))
        i++;
    if (start_array && i < START_NAMES)
        value = value_of(start_entries[i], start_names[i]);
    else
        value = getenv(name);
    return value && *value ? value : NULL;
}

/* ---- as it is now ---- */

enum { PAGE = 4096, MOST_ENTRIES = 1 << 16, MOST_VALUE = 1 << 20, MOST_TRIES = 1000 };

/* How many bytes from `from` on lie in its page, at most `size`: one read never runs into the next page. */
static size_t in_page(uintptr_t from, size_t size) {
    size_t rest = PAGE - from % PAGE;
    return size < rest ? size : rest;
}

/* Copy memory that another thread may free. False if it is gone. Where the call is forbidden, by hand. */
static bool copy_memory(void *into, uintptr_t from, size_t size) {
    struct iovec here = {into, size}, there = {(void *)from, size};
    long got = syscall(SYS_process_vm_readv, (long)getpid(), &here, 1L, &there, 1L, 0L);
    if (got < 0)
        ncr_passing_note(errno);
    if (got < 0 && (errno == ENOSYS || errno == EPERM)) {
        memcpy(into, (const void *)from, size);
        return true;
    }
    return got == (long)size;
}

/* A string that another thread may free, as a fresh copy, or NULL. */
static char *copy_string(uintptr_t from) {
    struct ncr_text text = {0};
    char piece[256];
    for (;;) {
        size_t size = in_page(from, sizeof piece - 1);
        if (text.length > MOST_VALUE || !copy_memory(piece, from, size))
            break;
        piece[size] = '\0';
        ncr_text_add(&text, "%s", piece);
        if (strlen(piece) < size)
            return text.data;
        from += size;
    }
    ncr_text_free(&text);
    return NULL;
}

static void keep(struct ncr_variables *variables, char *entry) {
    char **more = entry ? ncr_allocate_more(variables->list, (variables->count + 1) * sizeof *more) : NULL;
    if (!more) {
        free(entry);
        return;
    }
    variables->list = more;
    variables->list[variables->count++] = entry;
}

static bool is_wanted(const char *entry, const char *const *prefixes) {
    for (; *prefixes; prefixes++)
        if (ncr_begins(entry, *prefixes))
            return true;
    return false;
}

/* The array is read in chunks, and of the variables in one the first bytes at once: few of them are wanted. */
enum { CHUNK = 64, HEAD = 5 };

struct chunk {
    uintptr_t entries[CHUNK]; /* up to the first 0 */
    char heads[CHUNK][HEAD];
    size_t count;
    bool last; /* the array ends here */
};

static bool read_heads(struct chunk *chunk) {
    struct iovec here[CHUNK], there[CHUNK];
    long wanted = 0;
    memset(chunk->heads, 0, sizeof chunk->heads);
    for (size_t i = 0; i < chunk->count; i++) {
        size_t size = in_page(chunk->entries[i], HEAD);
        here[i] = (struct iovec){chunk->heads[i], size};
        there[i] = (struct iovec){(void *)chunk->entries[i], size};
        wanted += (long)size;
    }
    long got = syscall(SYS_process_vm_readv, (long)getpid(), here, (long)chunk->count, there, (long)chunk->count, 0L);
    bool good = got == wanted;
    for (size_t i = 0; !good && i < chunk->count; i++) /* one is gone, or the call is forbidden */
        if (!copy_memory(chunk->heads[i], chunk->entries[i], here[i].iov_len))
            return false;
    return true;
}

/* A head that ends with its page may go on as any of them. */
static bool may_be_wanted(const char head[HEAD], const char *const *prefixes) {
    for (; *prefixes; prefixes++)
        if (strncmp(head, *prefixes, strnlen(head, HEAD)) == 0 || strncmp(head, *prefixes, HEAD) == 0)
            return true;
    return false;
}

static void keep_wanted(struct ncr_variables *variables, const struct chunk *chunk, const char *const *prefixes) {
    for (size_t i = 0; i < chunk->count; i++) {
        char *copy = may_be_wanted(chunk->heads[i], prefixes) ? copy_string(chunk->entries[i]) : NULL;
        if (copy && is_wanted(copy, prefixes))
            keep(variables, copy);
        else
            free(copy);
    }
}

/* Read one chunk from `index` on. False if the array was moved meanwhile, and may be gone. */
static bool read_chunk(struct chunk *chunk, size_t index) {
    char **const array = *(char **volatile *)&environ;
    chunk->count = 0;
    chunk->last = !array;
    size_t size = in_page((uintptr_t)&array[index], sizeof chunk->entries);
    if (array && !copy_memory(chunk->entries, (uintptr_t)&array[index], size))
        return false;
    while (!chunk->last && chunk->count < size / sizeof *chunk->entries)
        if (chunk->entries[chunk->count])
            chunk->count++;
        else
            chunk->last = true;
    return (chunk->count == 0 || read_heads(chunk)) && array == *(char **volatile *)&environ;
}

/* A variable keeps its place when setenv moves the array, so what was read before stays read. */
static void read_moving(struct ncr_variables *variables, const char *const *prefixes) {
    struct chunk chunk = {.last = false};
    for (size_t index = 0; !chunk.last && index < MOST_ENTRIES; index += chunk.count) {
        int tries = 0;
        while (!read_chunk(&chunk, index) && ++tries < MOST_TRIES)
            ;
        if (tries == MOST_TRIES)
            return;
        keep_wanted(variables, &chunk, prefixes);
    }
}

/* The array of the start stays where it is, and its strings too, whatever another thread does. */
static void read_fixed(struct ncr_variables *variables, const char *const *prefixes) {
    for (char **entry = start_array; *entry; entry++)
        if (is_wanted(*entry, prefixes))
            keep(variables, ncr_copy(*entry));
}

/**
 * Copy the variables whose entries ("NAME=value") begin with one of these prefixes, which end with NULL, as they are now;
 * none in a set-uid process. Free them with ncr_variables_free().
 */
void ncr_variables_read_some(struct ncr_variables *variables, const char *const *prefixes) {
    *variables = (struct ncr_variables){NULL, 0};
    if (getauxval(AT_SECURE))
        return;
    if (start_array && *(char **volatile *)&environ == start_array)
        read_fixed(variables, prefixes);
    else
        read_moving(variables, prefixes);
}

/** Copy the variables that choose, as they are now. */
void ncr_variables_read(struct ncr_variables *variables) {
    static const char *const prefixes[] = {"NCCL_", "VLLM_", "SGLANG_", NULL};
    ncr_variables_read_some(variables, prefixes);
}

/** The value of a variable among those that were read; NULL if it is unset or empty. */
const char *ncr_variable(const struct ncr_variables *variables, const char *name) {
    for (size_t i = 0; i < variables->count; i++) {
        const char *value = value_of(variables->list[i], name);
        if (value)
            return *value ? value : NULL;
    }
    return NULL;
}

void ncr_variables_free(struct ncr_variables *variables) {
    for (size_t i = 0; i < variables->count; i++)
        free(variables->list[i]);
    free(variables->list);
    *variables = (struct ncr_variables){NULL, 0};
}
