/* SPDX-License-Identifier: Apache-2.0 */
/* Programs, libraries and scripts that the tool looks at without starting them. Part of cli.h, which says what holds. */
#ifndef NCR_PROGRAMS_H
#define NCR_PROGRAMS_H

#include "loader.h"

struct names {
    const char **list;
    unsigned count;
};

/* ---- elf_info.c: what a file needs and defines ---- */

struct elf_info {
    bool is_elf, dynamic, executable, wide; /* dynamic: the dynamic loader starts or loads it; wide: 64-bit */
    bool cut;                               /* its constant data is larger than what is searched of one file */
    const char *soname, *runpath, *rpath, *interpreter;
    char build_id[65];
    struct names needed;
    struct names wanted;  /* NCCL functions that it imports */
    struct names defined; /* NCCL functions that it has inside, exported or not */
    struct names exported;
    struct names bound;       /* NCCL functions that it calls through its procedure linkage table, also its own */
    const char *version_text; /* "2.28.9+cuda13.0" among its strings */
    struct names asked;       /* names of NCCL functions among its strings, to be looked up at run time */
    struct names opened;      /* strings such as libnccl.so.2 */
    struct names plugins;     /* plugin interfaces: what a plugin exports, what an NCCL asks for: ncclNetPlugin_v8 */
};

enum { ELF_BASICS, ELF_SYMBOLS, ELF_TEXTS };

void names_add(struct names *names, const char *name);
void names_sort(struct names *names);
bool names_have(const struct names *names, const char *name);
void elf_info_read(const char *path, int depth, struct elf_info *info);

/* ---- command.c: what a command line will execute ---- */

struct loss {
    bool certain; /* false: only in some cases */
    const char *text, *fix;
};

struct command {
    char **argv;
    char *file;           /* what execve gets: argv[0] found on PATH, or NULL */
    int status;           /* 0, EXIT_CANNOT_RUN or EXIT_NOT_FOUND */
    const char *problem;  /* why, with the fix */
    const char *launcher; /* "mpirun": programs in front of the one that was looked at, else NULL */
    const char *opaque;   /* why it is not known what will run in the end and with which NCCL, or NULL */
    const char *doubt;    /* likewise, where what runs there is known */
    bool elsewhere;       /* it runs on another host or in a container */
    const char *program;  /* the file that runs in the end: interpreter of a script, links resolved */
    const char *started_as;
    const char *script;                    /* argv's script where `program` is an interpreter */
    bool is_static, set_uid, narrow, musl; /* a preload has no effect on these */
    const char *sanitizer;                 /* its ASan runtime that must come first in LD_PRELOAD, or NULL */
    struct ncr_object *objects;
    struct ncr_subject subject;
    struct loss *losses; /* of LD_PRELOAD on the way */
    unsigned loss_count;
};

void command_resolve(struct command *command, char **argv);
char *find_on_path(const char *name);
bool is_python(const char *path);
char **words_with(const char *first, char **rest);
char **words_split(const char *text, char **rest);
bool assignment_apply(const char *word);

/* ---- starters.c: programs that start the command among their arguments ---- */

struct starter {
    const char *name;
    const char *word; /* what must follow: "run"; or NULL */
    char **(*inner)(const struct starter *starter, struct command *command, char **words); /* NULL, and why is opaque */
    const char *valued;               /* options whose value is a word of its own */
    unsigned skip;                    /* words between options and command */
    const char *marker, *environment; /* of a project: its file, its Python environment */
};

const struct starter *starter_of(char **words);

/* ---- shell_text.c ---- */

struct shell_text {
    char ***commands; /* the words of each simple command */
    unsigned count;
    const char *unknown; /* what else it does that decides, or NULL */
};

void shell_text_read(struct shell_text *result, const char *text);

/* ---- losses.c: where LD_PRELOAD is lost on the way ---- */

void losses_of_step(struct command *command, char **words, char **inner);
void losses_of_program(struct command *command);
const char *ignores_preload_word(const struct command *command);
bool loss_of_process(const char *name, struct loss *loss);
const char *loss_word(const struct command *command);

/* ---- dependencies.c: what an executable will map at its start ---- */

void dependencies(const char *executable, struct ncr_object **objects, unsigned *count);

/* ---- reach.c: how a file reaches NCCL ---- */

enum reach {
    REACH_NONE,
    REACH_LINKED,   /* it has an NCCL among its DT_NEEDED */
    REACH_THROUGH,  /* a library that it is linked with has */
    REACH_OPENED,   /* it opens one at run time */
    REACH_EXPORTED, /* it has one inside, and calls it so that a preload can take the calls */
    REACH_STATIC,   /* it has one inside, out of reach */
    REACH_NCCL,     /* it is one */
    REACH_SHIM,     /* it is nccl-redirect */
    REACH_SCRIPT    /* text that names one, such as ctypes code */
};

struct reached {
    const char *path;
    enum reach reach;
    const char *how;     /* in words */
    const char *version; /* of the NCCL inside, as far as it is known */
    struct names needs;  /* NCCL functions: imported, or asked for by name */
    struct names via;    /* libraries through which it is linked */
};

void reach_of_file(const char *path, bool with_dependencies, struct reached *reached);
const char *reach_word(enum reach reach);

/* ---- imports.c: what a Python script imports ---- */

struct names imports_of(const char *script);
const char *module_path(const char *name, const char *folder);
bool distribution_libraries(const char *name, struct names *libraries);

#endif
