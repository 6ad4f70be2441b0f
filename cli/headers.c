/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of an NCCL beside its library: code that is compiled at run time (DeepEP, NCCL EP) needs the header of the
 * version that will be active.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* The number after "#define NAME". */
static int number_of(const char *text, const char *name) {
    const char *line = strstr(text, formatted("#define %s ", name));
    return line ? atoi(line + strlen("#define ") + strlen(name)) : -1;
}

/** The version that FOLDER/nccl.h declares, or 0 if there is none. */
int header_version(const char *folder) {
    char *text = ncr_file_text(formatted("%s/nccl.h", folder), 1 << 16);
    int major = text ? number_of(text, "NCCL_MAJOR") : -1, minor = text ? number_of(text, "NCCL_MINOR") : -1;
    int patch = text ? number_of(text, "NCCL_PATCH") : -1;
    free(text);
    bool good = major >= 0 && minor >= 0 && patch >= 0 && major < 1000 && minor < 100 && patch < 100;
    return good ? major * 10000 + minor * 100 + patch : 0;
}

/* Beside lib or lib64, and above lib/x86_64-linux-gnu. */
static const char *include_near(const char *library, int version) {
    for (unsigned levels = 2; levels <= 3; levels++) {
        char *root = ncr_parent(library, levels);
        const char *folder = root ? formatted("%s/include", root) : NULL;
        if (folder && header_version(folder) == version)
            return folder;
    }
    return NULL;
}

/** The folder with the header that fits this library, or NULL. */
const char *include_of(const struct considered *chosen) {
    if (!chosen || !chosen->version)
        return NULL;
    const char *folder = include_near(chosen->candidate.path, chosen->version);
    return folder || !chosen->real_path ? folder : include_near(chosen->real_path, chosen->version);
}

static const struct place {
    const char *variable, *below;
} places[] = {
    {"EP_NCCL_ROOT_DIR", "/include"}, {"NCCL_HOME", "/include"}, {"NCCL_ROOT", "/include"}, {NULL, "/usr/include"}};

/* Doctor: the header that something compiled here would find. */
void check_headers(struct doctor *doctor) {
    const struct considered *chosen = doctor->decision.chosen;
    const char *fits = include_of(chosen);
    for (size_t i = 0; chosen && chosen->version && i < sizeof places / sizeof *places; i++) {
        const char *root = places[i].variable ? ncr_environment(places[i].variable) : "";
        const char *folder = root ? formatted("%s%s", root, places[i].below) : NULL;
        int version = folder ? header_version(folder) : 0;
        if (!version)
            continue;
        if (version == chosen->version)
            report(doctor, FINE, "headers", NULL, "%s has the headers of NCCL %s, the version of the chosen library",
                   folder, version_text(version));
        else
            report(
                doctor, places[i].variable ? WARNING : FINE, "headers",
                fits ? formatted("for what is compiled at run time: %s=%s (nccl-redirect env --include sets it)",
                                 places[i].variable ? places[i].variable : "EP_NCCL_ROOT_DIR", ncr_parent(fits, 1))
                     : NULL,
                "%s%s has the headers of NCCL %s, the chosen library is %s: what is compiled with them at run time (DeepEP, "
                "NCCL EP) does not fit",
                places[i].variable ? formatted("%s: ", places[i].variable) : "", folder, version_text(version),
                version_text(chosen->version));
        return;
    }
}
