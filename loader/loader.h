/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding, validating and opening a real NCCL. Linked into the shim and into the command-line tool, so that what the
 * tool explains is what the shim does. Depends on libc alone, exports nothing, and uses no libc symbol newer than
 * GLIBC_2.17 (tests/test_shim_file.c). The prototypes stand in the order of a decision, grouped by the file they live
 * in.
 *
 * Thread-safety: none of these functions lock; the shim calls them under its binding lock, the tool from one thread.
 * Memory: strings inside a struct are owned by it; everything else is const and lives as long as the process.
 */
#ifndef NCR_LOADER_H
#define NCR_LOADER_H

#include "abi/functions.h"
#include "abi/version.h"
#include "reading.h"

/* ---- choice.c: what a value may name ---- */

enum ncr_choice {
    NCR_CHOOSE_AUTO,
    NCR_CHOOSE_TORCH,
    NCR_CHOOSE_SYSTEM,
    NCR_CHOOSE_PROGRAM,
    NCR_CHOOSE_PATH,
    NCR_CHOOSE_NOTHING
};

extern const char ncr_choice_values[]; /* for messages; without "auto" */
bool ncr_choice_read(const char *text, enum ncr_choice *choice);
bool ncr_choice_read_one(const char *text, enum ncr_choice *choice);

/* ---- config.c: the environment, read once ---- */

enum ncr_bind { NCR_BIND_AUTO, NCR_BIND_START, NCR_BIND_FIRST_USE };
/* NCR_ANNOUNCE cannot be set: a line of this level is always written, except with "off". */
enum ncr_level { NCR_OFF, NCR_ERROR, NCR_WARN, NCR_INFO, NCR_DEBUG, NCR_ANNOUNCE };

struct ncr_range {
    int at_least; /* inclusive, 0 = no bound */
    int below;    /* exclusive, INT_MAX = no bound */
};

const char *ncr_range_read(struct ncr_range *range, const char *text); /* range.c */

/* NCCL_REDIRECT_RULES, one rule. */
enum ncr_rule_kind { NCR_RULE_CALLER, NCR_RULE_NAME, NCR_RULE_OPEN };

struct ncr_rule {
    enum ncr_rule_kind kind;
    char *pattern; /* for fnmatch */
    enum ncr_choice choice;
    char *path; /* of NCR_CHOOSE_PATH */
};

struct ncr_config {
    struct ncr_variables variables; /* while it is being read */
    enum ncr_choice choice;         /* NCR_CHOOSE_NOTHING: a value is wrong, `problem` says which */
    char *path;                     /* the backend of NCR_CHOOSE_PATH */
    char *decided_by;               /* "NCCL_REDIRECT=torch", "VLLM_USE_PYTORCH_NCCL=1", "the default" */
    bool fallback;
    struct ncr_range require;
    char *require_text; /* as the user wrote it, or NULL */
    char *torch;        /* NCCL_REDIRECT_TORCH */
    char *system_path;  /* the library of the system method, as its variable names it: absolute, or a bare name */
    const char *system_variable; /* that variable */
    enum ncr_bind bind;
    bool tag; /* mark unique ids with the backend, compare at init */
    enum ncr_level level;
    char *log_file; /* with %h %p still in it */
    char *history;  /* the folder for records of what was active, or NULL */
    bool announce;  /* NCCL_DEBUG asks for the version */
    char *trace;    /* the folder for records of calls, "1" for the standard one; NULL: calls are not recorded */
    unsigned trace_records;
    struct ncr_rule *rules;
    size_t rule_count;
    bool additional; /* for a library besides the process's default */
    bool secure;     /* set-uid: every variable was ignored */
    struct ncr_text problem;
    struct ncr_text errors, warnings; /* lines, each ending in \n */
};

void ncr_config_read(struct ncr_config *config);
void ncr_config_report(const struct ncr_config *config);
void ncr_config_free(struct ncr_config *config);
enum ncr_bind ncr_config_bind(void);
void ncr_rules_read(struct ncr_config *config, const char *value); /* rules.c */
void ncr_rules_free(struct ncr_config *config);

/* ---- log.c: the one sink; log_output.c, log_limit.c ---- */

void ncr_log_open(enum ncr_level level, const char *file);
void ncr_log_hold(void);
void ncr_log_release(bool write);
void ncr_log_start(void);
void ncr_log(enum ncr_level level, const char *format, ...) NCR_PRINTF(2, 3);
void ncr_log_kind(enum ncr_level level, const char *kind, const char *format, ...) NCR_PRINTF(3, 4);

/* ---- history.c: a record of what was active ---- */

struct ncr_backend;
enum { NCR_HISTORY_BYTES = 8 << 20 }; /* of a file, and one line more */

void ncr_history_add(const struct ncr_config *config, const struct ncr_backend *backend);

/* ---- upcoming.c: a library that is about to be mapped ---- */

bool ncr_upcoming_begin(const char *path);
void ncr_upcoming_end(void);
bool ncr_upcoming_visit(ncr_object_visitor *visit, void *arg);

/* ---- subject.c: the process that the decision is about ---- */

/* A process that the tool is going to start. Where a function takes one, NULL is this process. */
struct ncr_subject {
    const char *executable; /* the file that it runs, links resolved */
    const char *started_as; /* the path given to exec (a link inside a virtual environment is kept), or NULL */
    const struct ncr_object *objects; /* what it maps at its start, the program first */
    unsigned object_count;
};

void ncr_subject_note_start(void);
const char *ncr_subject_start_folder(void);
char *ncr_subject_path(const struct ncr_subject *subject);
void ncr_subject_names(const struct ncr_subject *subject, const char *names[2]);

/* ---- candidates.c: the order of trial ---- */

enum ncr_method { NCR_BY_TORCH, NCR_BY_SYSTEM, NCR_BY_PROGRAM, NCR_BY_PATH, NCR_METHODS };

/* Whose GPUs a process or a library is built for. */
enum ncr_vendor { NCR_ANY_VENDOR, NCR_NVIDIA, NCR_AMD };

struct ncr_candidate {
    enum ncr_method method;
    const char *origin; /* what led there: "LD_LIBRARY_PATH", "torch in VIRTUAL_ENV", … */
    const char *path;
    enum ncr_vendor vendor; /* that of the torch that it is for */
    const char *refusal;    /* why it cannot be used, if the search already knows; else NULL */
};

/* Returns true to stop the search. */
typedef bool ncr_visitor(void *arg, const struct ncr_candidate *candidate);

struct ncr_search {
    const struct ncr_config *config;
    const struct ncr_subject *subject;
    bool rccl_first;       /* the preload is the one for RCCL */
    const char *requested; /* the file that the program tries to open, or NULL */
    const void *caller;    /* an address in the object that does, or NULL */
    ncr_visitor *visit;
    void *arg;
    struct ncr_text notes; /* what a method could not find, one clause per method */
    struct ncr_text torch; /* the folder with the libraries of the first torch that was found */
    /* of asker.c */
    struct ncr_object *objects; /* what matters of the objects that the subject maps; the program first */
    unsigned object_count;
    char *program; /* the file that the subject runs */
    enum ncr_vendor vendor;
    const struct ncr_object *vendor_shown_by;
    bool system_done; /* its candidates have been visited */
};

bool ncr_candidates(struct ncr_search *search);
bool ncr_offer(struct ncr_search *search, enum ncr_method method, const char *origin, const char *path);
const char *ncr_method_name(enum ncr_method method);

/* ---- torch.c, torch_nccl.c, system.c, program.c: where each method looks ---- */

struct ncr_torch {
    const char *folder; /* with its libraries */
    char *site;         /* the package folder that it lies in, or NULL for a libtorch */
    const char *origin;
    const struct ncr_object *mapped; /* its library for GPUs, or NULL */
};

bool ncr_torch(struct ncr_search *search);
bool ncr_torch_nccl(struct ncr_search *search, const struct ncr_torch *torch, bool *gpu);
bool ncr_is_wheel_path(const char *path);
bool ncr_system(struct ncr_search *search);
char *ncr_system_path(struct ncr_search *search);
bool ncr_program(struct ncr_search *search);
char *ncr_program_own(struct ncr_search *search);

/* ---- python.c, pth.c, folders.c: lists of folders ---- */

typedef bool ncr_folder_visitor(void *arg, const char *origin, const char *folder);
bool ncr_python_folders(const struct ncr_subject *subject, ncr_folder_visitor *visit, void *arg);
bool ncr_pth_folders(const char *site, const char *origin, ncr_folder_visitor *visit, void *arg);
bool ncr_environment_folders(const char *prefix, ncr_folder_visitor *visit, void *arg);
bool ncr_split_path(const char *list, const char *origin, ncr_folder_visitor *visit, void *arg);
bool ncr_split_library_path(const char *list, const char *origin, ncr_folder_visitor *visit, void *arg);
bool ncr_split_absolute(const char *list, const char *origin, ncr_folder_visitor *visit, void *arg);
char *ncr_expand_tokens(const char *folder, const char *object_path);

/* ---- ld_search.c, ldcache.c: as the dynamic loader looks ---- */

struct ncr_asker {
    const char *path; /* for $ORIGIN */
    const char *rpath, *runpath;
    const struct ncr_asker *loader; /* what loaded it; the last one is the program */
};

enum ncr_ld_part {
    NCR_LD_NOWHERE,
    NCR_LD_RPATH,
    NCR_LD_LIBRARY_PATH,
    NCR_LD_RUNPATH,
    NCR_LD_CACHE,
    NCR_LD_DEFAULT,
    NCR_LD_ALL =
        1 << NCR_LD_RPATH | 1 << NCR_LD_LIBRARY_PATH | 1 << NCR_LD_RUNPATH | 1 << NCR_LD_CACHE | 1 << NCR_LD_DEFAULT
};

struct ncr_ld_hit {
    char *path;
    const char *origin;
    enum ncr_ld_part part;
};

bool ncr_ld_search(const char *name, const struct ncr_asker *asker, unsigned parts, struct ncr_ld_hit *hit);
bool ncr_ldcache(const char *soname, ncr_folder_visitor *visit, void *arg);

/* ---- asker.c: who needs an NCCL ---- */

#define NCR_MOST_LOADERS 16

struct ncr_asking {
    struct ncr_asker chain[NCR_MOST_LOADERS]; /* each one's loader is the next */
};

void ncr_search_objects(struct ncr_search *search);
void ncr_search_free_objects(struct ncr_search *search);
const char *ncr_search_program(struct ncr_search *search);
void ncr_search_vendor(struct ncr_search *search);
const struct ncr_object *ncr_search_object(const struct ncr_search *search, const char *base);
const struct ncr_object *ncr_search_object_at(const struct ncr_search *search, const void *address);
void ncr_asking_begin(struct ncr_asking *asking, struct ncr_search *search, const struct ncr_object *object);

/* ---- bundle.c: programs that bring their libraries along ---- */

bool ncr_is_bundle(struct ncr_search *search, const char *folder);

/* ---- validate.c: may this file be opened? ---- */

struct ncr_validation {
    char *refusal;    /* one clause, or NULL: accepted */
    bool missing;     /* there is no such file */
    bool shim;        /* it is this shim, or another copy of it */
    int file_version; /* as the file says of itself, 0 = not looked for or not found */
    bool rccl;        /* it is an RCCL */
    unsigned unknown; /* functions that it exports and the table does not know */
    unsigned lacks;   /* functions of the table that it does not export, without the aliases */
    dev_t device;
    ino_t inode;
    off_t size;
};

void ncr_validate(const char *path, const struct ncr_config *config, struct ncr_validation *validation);
void ncr_validation_free(struct ncr_validation *validation);

/* The files that a search has met: many names lead to one file. Beyond the limit a file may be validated twice. */
#define NCR_MOST_SEEN 64

struct ncr_seen {
    struct {
        dev_t device;
        ino_t inode;
    } files[NCR_MOST_SEEN];
    unsigned count;
};

enum ncr_outcome {
    NCR_ABSENT,
    NCR_SEEN,    /* the same file came under another name before */
    NCR_REFUSED, /* validation->refusal says why */
    NCR_FIT,     /* it may be opened */
    NCR_OPENED   /* it was */
};

enum ncr_outcome ncr_consider(struct ncr_seen *seen, const struct ncr_candidate *candidate,
                              const struct ncr_config *config, struct ncr_validation *validation);

/* ---- candidates.c: the loop that tries the candidates ---- */

/* The outcome for one candidate. */
struct ncr_considered {
    const struct ncr_candidate *candidate;
    enum ncr_outcome outcome;
    struct ncr_validation *validation;
};

typedef bool ncr_opener(void *arg, const struct ncr_considered *one, struct ncr_text *reason);
typedef void ncr_observer(void *arg, const struct ncr_considered *one);

struct ncr_selection {
    struct ncr_search search;
    ncr_opener *open; /* opens the candidate, or says why it cannot be; NULL: what may be opened counts as opened */
    ncr_observer *observe; /* is told of each candidate; or NULL */
    void *arg;             /* of both */
    bool all;              /* go on behind the one that was opened */
    /* the rest is the loop's */
    bool opened;
    struct ncr_seen seen;
    struct ncr_text refused, absent, refused_of[NCR_METHODS];
};

bool ncr_select(struct ncr_selection *selection);
void ncr_selection_failure(const struct ncr_selection *selection, struct ncr_text *text);
void ncr_selection_failure_of(const struct ncr_selection *selection, enum ncr_method method, struct ncr_text *text);
void ncr_selection_free(struct ncr_selection *selection);

/* ---- open.c: the decision ---- */

typedef void *ncr_dlopen(const char *file, int mode);

/* What made the decision necessary: a dlopen of this file, by the object that `caller` lies in. */
struct ncr_request {
    const char *file;
    const void *caller;
};

struct ncr_backend {
    void *handle;   /* NULL: NCCL is disabled, `why` says why */
    char *path;     /* the file that the dynamic loader opened, as it names it */
    char *build_id; /* in hexadecimal, or NULL */
    char *origin;
    enum ncr_method method;
    int version; /* the backend's own answer, 0 if it gave none */
    bool rccl;
    unsigned unknown;    /* functions that it has and the table lacks */
    bool global;         /* it is in the global scope, so that those are found */
    struct ncr_text why; /* every candidate that was refused, and what was not found */
    bool reported;       /* an error line has been written about it */
    bool passing;        /* there is no NCCL because of a temporary failure */
};

void ncr_report_backend(const struct ncr_config *config, const struct ncr_backend *backend);
void ncr_choose(struct ncr_backend *backend, const struct ncr_config *config, bool rccl_first,
                const struct ncr_request *request, ncr_dlopen *open);

#endif
