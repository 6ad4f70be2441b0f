/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command-line tool. Each subcommand is one file; what they share is declared here, grouped by the file that
 * defines it. What is decided comes from the loader that the shim is linked with, so that the tool says what the shim
 * does.
 *
 * Memory: a subcommand runs once and the process ends, so text and lists are not freed. Everything runs in one thread.
 */
#ifndef NCR_CLI_H
#define NCR_CLI_H

#include "loader.h"
#include "processes.h"
#include "programs.h"

#include <stdio.h>

enum {
    EXIT_FINE = 0,
    EXIT_FINDING = 1, /* something is wrong, or differs */
    EXIT_USAGE = 2,
    EXIT_OUTPUT = 74,      /* what was printed could not be written (EX_IOERR) */
    EXIT_UNMET = 78,       /* the choice cannot be satisfied (EX_CONFIG) */
    EXIT_CANNOT_RUN = 126, /* the command is there and cannot be executed */
    EXIT_NOT_FOUND = 127
};

/* ---- options.c: the arguments, by the table subcommands.def; help.c ---- */

enum takes { TAKES_COMMAND, TAKES_NAMES, TAKES_NOTHING };
enum option_type { OPTION_SWITCH, OPTION_TEXT, OPTION_WORD, OPTION_MAYBE };

/* The C type of an option's value. */
#define OPTION_VALUE_SWITCH bool
#define OPTION_VALUE_TEXT const char *
#define OPTION_VALUE_WORD const char *
#define OPTION_VALUE_MAYBE const char *

struct request {
#define OPTION(name, type, argument, values, meaning) OPTION_VALUE_##type name;
#include "subcommands.def"
    char **rest; /* the command or the names, ends with NULL */
    int rest_count;
};

struct subcommand {
    const char *name;
    enum takes takes;
    const char *arguments, *options, *summary, *text;
    int (*run)(struct request *request);
};

struct option_row {
    const char *key; /* with underscores */
    enum option_type type;
    size_t place; /* in struct request */
    const char *argument, *values, *meaning;
};

enum {
    SUBCOMMAND_COUNT = 0
#define SUBCOMMAND(name, takes, arguments, options, summary, text) +1
#include "subcommands.def"
    ,
    OPTION_COUNT = 0
#define OPTION(name, type, argument, values, meaning) +1
#include "subcommands.def"
};

extern const struct subcommand subcommands[SUBCOMMAND_COUNT];
extern const struct option_row option_rows[OPTION_COUNT];

const struct subcommand *subcommand_named(const char *name);
bool subcommand_has(const struct subcommand *subcommand, const struct option_row *option);
void request_parse(const struct subcommand *subcommand, char **arguments, struct request *request);
const char *option_name(const struct option_row *option); /* with dashes */
const char *values_text(const char *values);
void subcommand_help(const struct subcommand *subcommand);
void overview_print(void);
const char *nearest_word(const char *typed, const char *const *words, unsigned count);

#define SUBCOMMAND(name, takes, arguments, options, summary, text) int subcommand_##name(struct request *request);
#include "subcommands.def"

/* ---- out.c: how it looks. All text output goes through here, made visible: control characters never come out ---- */

enum tone { PLAIN, GOOD, DOUBTFUL, BAD, FAINT, STRONG };

const char *formatted(const char *format, ...) NCR_PRINTF(1, 2); /* a fresh text; never NULL */
void *list_grow(void *list, size_t count, size_t size);          /* room for one more behind `count` */
void line_add(enum tone tone, const char *format, ...) NCR_PRINTF(2, 3);
void line_end(unsigned indent, unsigned below);
void line_print(unsigned indent, const char *format, ...) NCR_PRINTF(2, 3);
void line_print_whole(const char *format, ...) NCR_PRINTF(1, 2);
void pair_print(unsigned width, enum tone tone, const char *label, const char *format, ...) NCR_PRINTF(4, 5);
void record_begin(void);
void record_end(void);
void gap_print(void);
bool output_is_for_programs(void);
const char *start_of(unsigned columns, const char *text);
const char *next_line(const char *at);
void complain(const char *format, ...) NCR_PRINTF(1, 2); /* "nccl-redirect: …" on stderr */
void descriptors_reserve(void);
int output_finish(int status);
const char *size_text(uint64_t bytes);
const char *version_text(int version);

/* ---- json.c ---- */

struct json;

struct json *json_object(void);
struct json *json_list(void);
void json_add(struct json *to, const char *key, const struct json *value); /* `key` is NULL in a list; NULL is null */
void json_add_text(struct json *to, const char *key, const char *value);
void json_add_number(struct json *to, const char *key, long long value);
void json_add_bool(struct json *to, const char *key, bool value);
void json_add_names(struct json *to, const char *key, const struct names *names);
void json_add_lines(struct json *to, const char *key, const char *lines);
const char *json_quoted(const char *string);
const char *json_text(const struct json *json);
void json_print(const struct json *json);
const char *json_member(const char *object, const char *key);

/* ---- generate.c: what is made from the table ---- */

int generate(int argc, char **argv);

/* ---- choice.c: --use and the other options of the choice ---- */

int choice_apply(const struct request *request, struct command *command);

/* ---- trial.c: does it really open? ---- */

struct trial {
    bool opened;
    const char *error; /* the loader's words */
    int version;       /* what its ncclGetVersion returned, or 0 */
};

void try_open(const char *path, const char *version_function, struct trial *trial);

/* ---- decision.c: every candidate, as the preload library would meet them ---- */

struct considered {
    struct ncr_candidate candidate;
    enum ncr_outcome outcome;
    const char *why; /* refused: the reason */
    const char *real_path;
    bool chosen;
    bool rccl;
    int version;              /* as the file says, or as it answered; 0 unknown */
    const char *version_text; /* "2.28.9+cuda13.0" or NULL */
};

struct decision {
    struct ncr_config config;
    struct considered *list;
    unsigned count;
    struct considered *chosen; /* or NULL */
    const char *notes;
    const char *torch; /* the folder with torch's libraries, if the search came by one, or NULL */
    int answered;      /* by the candidate that was opened last: its own code for its version */
};

void decide(struct decision *decision, const struct ncr_config *config, const struct ncr_subject *subject);
void decide_untried(struct decision *decision, const struct ncr_config *config, const struct ncr_subject *subject);
int decision_status(const struct decision *decision);
const char *decision_failure(const struct decision *decision); /* what and why */
const char *decision_fix(const struct decision *decision);
struct json *considered_json(const struct considered *one);
const char *outcome_word(const struct considered *one);

/* ---- headers.c: the header beside a library ---- */

int header_version(const char *folder);
const char *include_of(const struct considered *chosen);

/* ---- owner.c: which package does a file belong to ---- */

struct owner {
    const char *kind; /* "wheel", "Debian package", "conda package" */
    const char *name, *version;
    bool other_size; /* the package recorded a size, and the file has another */
};

struct owners {
    struct owner *list;
    unsigned count;
};

void owners_find(const char *path, const char *real_path, uint64_t size, struct owners *owners);

/* ---- catalogue.c: every NCCL in reach ---- */

struct nccl {
    const char *path, *real_path;
    const char *method; /* "torch", "system", "path", or "none": only its path leads to it */
    const char *origin;
    const char *refusal; /* why it cannot be used, or NULL */
    bool rccl;
    int version;
    const char *version_text, *cuda; /* "2.28.9+cuda13.0", "13.0"; or NULL */
    uint64_t size;
    dev_t device;
    ino_t inode;
    const char *build_id;
    struct owners owners;
    struct names also;    /* other paths of the same file */
    struct names remarks; /* what a user should know about it, and */
    struct names fixes;   /* what to do about each; "" is nothing */
};

struct catalogue {
    struct nccl *list;
    unsigned count, usable;
    const char *notes;
};

void catalogue_read(struct catalogue *catalogue, const struct ncr_config *config, const struct ncr_subject *subject);
const char *owner_text(const struct owners *owners);
struct names lacking(const struct names *needs, const char *path);   /* functions that the file does not export */
const char *functions_text(const struct names *functions, bool all); /* "ncclCommSplit (2.18.1), …" */

/* ---- explain_pid.c ---- */

int explain_process(const struct request *request);

/* ---- quote.c: values for other readers ---- */

const char *shell_word(const char *text);
const char *shell_printf(const char *text);
const char *yaml_string(const char *text);
bool has_controls(const char *text);
bool is_utf8(const char *text);

/* ---- history.c: list --history ---- */

int history_show(const struct request *request);

/* ---- env.c, env_formats.c, env_files.c ---- */

struct env_setting {
    const char *name, *value; /* without a value: unset the variable (forms with can_unset) */
};

struct env_plan {
    struct env_setting *list;
    unsigned count;
    const char *shim, *folder;  /* the preload library and where it lies */
    const char *backend_folder; /* of a backend that is named by its path, or NULL */
};

/* Who gets the variables, and so how LD_PRELOAD names the preload library: with $LIB (preload_entry) where that is safe. */
enum env_reader {
    ENV_HERE,  /* an environment of this machine */
    ENV_WORDS, /* the same, pasted by $(...): quotes would stay in the value, so no $ may be in it; Ray expands one */
    ENV_IMAGE, /* another file system: what LD_PRELOAD lists here may not be there, and $LIB mean another folder */
};

struct env_format {
    const char *name;
    void (*print)(const struct env_plan *plan);
    enum env_reader reader;
    const char *(*problem)(const char *value);         /* why it cannot hold that value, or NULL */
    const char *(*folder_problem)(const char *folder); /* likewise for folders that are mounted; NULL: none are */
    bool can_unset;
};

const struct env_format *env_format_named(const char *name);
void env_print_words(const struct names *words, const char *command);
void env_print_fish(const struct env_plan *plan);
void env_print_csh(const struct env_plan *plan);
void env_print_sbatch(const struct env_plan *plan);
void env_print_systemd(const struct env_plan *plan);
void env_print_dockerfile(const struct env_plan *plan);
void env_print_apptainer(const struct env_plan *plan);
void env_print_kernelspec(const struct env_plan *plan);
const char *env_csh_problem(const char *value);
const char *env_systemd_problem(const char *value);
const char *env_dockerfile_problem(const char *value);
const char *env_apptainer_problem(const char *value);
const char *env_apptainer_folder(const char *folder);

/* ---- fingerprint.c, fingerprint_merge.c: a host's NCCL in one line; sha256.c ---- */

struct fingerprint {
    const char *version;           /* "2.28.9", "?" unknown, "none": no NCCL that can be used */
    const char *build_id, *sha256; /* or NULL */
    const char *path;              /* "-" if there is none */
    const char *host;
};

int fingerprints_merge(const struct request *request);
const char *sha256_of_file(const char *path);

/* ---- doctor.c: the checks report here ---- */

enum level { FINE, WARNING, FAILURE };

struct doctor {
    const struct request *request;
    struct command command;
    struct ncr_config config;
    struct decision decision;   /* as configured */
    struct catalogue catalogue; /* all that there is */
    struct names torch_needs;   /* functions that torch is linked with */
    struct check {
        enum level level;
        const char *name, *text, *fix;
    } * checks;
    unsigned count;
};

void report(struct doctor *doctor, enum level level, const char *name, const char *fix, const char *format, ...)
    NCR_PRINTF(5, 6);

void check_preload(struct doctor *doctor);
void check_list(struct doctor *doctor);
void check_variables(struct doctor *doctor);
void check_methods(struct doctor *doctor); /* torch first */
void check_choice(struct doctor *doctor);
void check_functions(struct doctor *doctor);
void check_fallback(struct doctor *doctor);
void check_second(struct doctor *doctor);
void check_driver(struct doctor *doctor);
void check_headers(struct doctor *doctor);
void check_plugins(struct doctor *doctor);
bool is_plugin_interface(const char *symbol);
void check_processes(struct doctor *doctor);
void check_command(struct doctor *doctor);
void check_run(struct doctor *doctor);

/* ---- preload.c: the shim's file and LD_PRELOAD ---- */

const char *shim_path(bool rccl, const char **problem); /* NULL with the problem */
const char *document_path(const char *name);
bool is_shim(const char *path);
bool is_shim_name(const char *base);
const char *preload_fault(const char *entry); /* NULL: it loads */
const char *preload_entry(const char *shim);
bool narrow_programs_run(void);
const char *preload_with(const char *list, const char *first, const char *shim);
struct names preload_entries(const char *list);
const char *foreign_nccl_in(const char *list);

/* ---- temporary.c ---- */

const char *temporary_folder(const char **problem);
void temporary_folder_remove(const char *folder);

#endif
