/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice made by options, put into the variables, from which the loader reads it. A version is the tool's own way
 * to name a library: the one of that version among those that `list` shows.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A relative path is relative to the tool's folder, not to wherever the command will run. */
static const char *absolute(const char *use) {
    char *here = use[0] != '/' && strchr(use, '/') ? getcwd(NULL, 0) : NULL;
    return here ? formatted("%s/%s", here, use) : use;
}

/* The folder of --trace as the library wants it: absolute, or "1". */
static const char *trace_value(const char *trace) {
    char *here = trace[0] != '/' && strcmp(trace, "1") != 0 ? getcwd(NULL, 0) : NULL;
    return here ? formatted("%s/%s", here, trace) : trace;
}

/* "2.28.9", or "2.28" for the whole series; not "2", which is every NCCL. */
static bool is_version(const char *use) {
    int version;
    const char *end;
    return strchr(use, '.') && ncr_version_parse(use, &version, &end) && !*end;
}

static bool has_version(const struct nccl *nccl, const char *use) {
    const char *version = nccl->version ? version_text(nccl->version) : "";
    size_t length = strlen(use);
    return strncmp(version, use, length) == 0 && (version[length] == '\0' || version[length] == '.');
}

/* Two files of one build count as one NCCL, such as a wheel in two environments. */
static bool same_build(const struct nccl *a, const struct nccl *b) {
    return a->build_id && b->build_id && strcmp(a->build_id, b->build_id) == 0;
}

static const char *list_text(const struct catalogue *catalogue, const char *use) {
    struct ncr_text text = {0};
    for (unsigned i = 0; i < catalogue->count; i++) {
        const struct nccl *nccl = &catalogue->list[i];
        if (!nccl->refusal && (!use || has_version(nccl, use)))
            ncr_text_add(&text, "%s%s %s (build %.8s)", text.length ? ", " : "", version_text(nccl->version),
                         nccl->path, nccl->build_id ? nccl->build_id : "unknown");
    }
    return text.length ? ncr_text_get(&text) : "none";
}

/* The library of that version, or NULL with a message. */
static const char *path_of_version(const char *use, const struct ncr_subject *subject) {
    struct ncr_config config;
    struct catalogue catalogue;
    const struct nccl *found = NULL;
    ncr_config_read(&config);
    catalogue_read(&catalogue, &config, subject);
    for (unsigned i = 0; i < catalogue.count; i++) {
        const struct nccl *nccl = &catalogue.list[i];
        if (nccl->refusal || !has_version(nccl, use))
            continue;
        if (found && !same_build(found, nccl)) {
            complain("--use %s means more than one NCCL here: %s. Fix: name the file: --use %s", use,
                     list_text(&catalogue, use), found->path);
            return NULL;
        }
        found = found ? found : nccl;
    }
    if (!found)
        complain(
            "--use %s: no NCCL of that version was found here; found: %s. Fix: choose one of them, or name a file: --use "
            "/path/libnccl.so.2",
            use, list_text(&catalogue, NULL));
    return found ? found->path : NULL;
}

/**
 * Put the choice of the options into the environment, and resolve the command that it is for (`command` may be NULL).
 * Returns 0, or the exit code.
 */
int choice_apply(const struct request *request, struct command *command) {
    const char *use = request->use;
    bool version = use && is_version(use);
    if (use && !version)
        setenv("NCCL_REDIRECT", absolute(use), 1);
    if (version)
        unsetenv("NCCL_REDIRECT");
    if (request->require)
        setenv("NCCL_REDIRECT_REQUIRE", request->require, 1);
    if (request->strict)
        setenv("NCCL_REDIRECT_FALLBACK", "0", 1);
    if (request->log)
        setenv("NCCL_REDIRECT_LOG", request->log, 1);
    if (request->trace)
        setenv("NCCL_REDIRECT_TRACE", trace_value(request->trace), 1);
    if (command)
        command_resolve(command, request->rest);
    if (!version)
        return 0;
    const char *path = path_of_version(use, command ? &command->subject : NULL);
    if (path)
        setenv("NCCL_REDIRECT", path, 0); /* an env in front of the command has the last word */
    return path ? 0 : EXIT_UNMET;
}
