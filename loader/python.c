/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders in which a Python finds its packages, in import order, without starting one. Of the interpreter that is
 * running; in any other program of VIRTUAL_ENV, CONDA_PREFIX and the python3 on PATH. The rules are those of CPython's
 * site module and pyvenv.cfg (PEP 405), and Debian's dist-packages.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

struct python {
    char *executable; /* as started: a link inside a virtual environment is kept */
    char *prefix;
    char *base_prefix;    /* of the Python that a virtual environment was made from, else NULL */
    bool system_packages; /* may see more than the virtual environment */
    char *version;        /* "python3.11", the folder below lib */
    const char *origin;
};

static void python_free(struct python *python) {
    free(python->executable);
    free(python->prefix);
    free(python->base_prefix);
    free(python->version);
}

static bool is_interpreter_name(const char *path) {
    return ncr_begins(ncr_basename(path), "python");
}

/* Is `path` a name of the file `real`? */
static bool leads_to(const char *path, const char *real) {
    char *resolved = ncr_file_real(path);
    bool same = resolved && strcmp(resolved, real) == 0;
    free(resolved);
    return same;
}

/* The path by which the running interpreter was started, or NULL if this is no Python. */
static char *running_interpreter(const struct ncr_subject *subject) {
    char *real = ncr_subject_path(subject);
    if (!real || !is_interpreter_name(real)) {
        free(real);
        return NULL;
    }
    const char *names[2];
    ncr_subject_names(subject, names);
    const char *start = ncr_subject_start_folder(); /* the current folder may be any other now */
    for (int i = 0; i < 2; i++) {
        char *name = names[i] && strchr(names[i], '/') ? ncr_file_absolute(names[i], start) : NULL;
        if (name && strcmp(name, real) != 0 && leads_to(name, real)) {
            free(real);
            return name;
        }
        free(name);
    }
    return real;
}

/* The value of "key = value" in pyvenv.cfg as a fresh string, or NULL. */
static char *config_value(const char *text, const char *key) {
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        line += strspn(line, " \t");
        const char *at = line + length;
        if (strncasecmp(line, key, length) != 0 || !(at += strspn(at, " \t"), *at == '='))
            continue;
        at += 1 + strspn(at + 1, " \t");
        size_t size = strcspn(at, "\r\n");
        while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t'))
            size--;
        return ncr_copy_part(at, size);
    }
    return NULL;
}

static void read_pyvenv(struct python *python) {
    char *name = ncr_path("%s/pyvenv.cfg", python->prefix);
    char *text = name ? ncr_file_text(name, 4096) : NULL;
    if (text) {
        char *home = config_value(text, "home"), *shared = config_value(text, "include-system-site-packages");
        python->system_packages = shared && strcasecmp(shared, "true") == 0;
        python->base_prefix = home ? ncr_parent(home, 1) : NULL;
        free(home);
        free(shared);
    }
    free(text);
    free(name);
}

/* "python3.11": from the interpreter's real name, else from the newest such folder in lib. */
static char *version_folder(const char *executable, const char *prefix) {
    const char *name = ncr_basename(executable);
    if (ncr_begins(name, "python3."))
        return ncr_copy(name);
    char *lib = ncr_path("%s/lib", prefix);
    char *version = lib ? ncr_file_newest(lib, "python3.") : NULL;
    free(lib);
    return version;
}

/* Describe the Python whose executable is `executable` (which the result owns). */
static bool describe(struct python *python, char *executable, const char *origin) {
    *python = (struct python){.executable = executable, .origin = origin};
    if (!executable)
        return false;
    python->prefix = ncr_parent(executable, 2);
    if (!python->prefix)
        return false;
    read_pyvenv(python);
    char *real = ncr_file_real(executable);
    if (!python->base_prefix && real) {
        /* Not in a virtual environment: the prefix is where the real file lies. */
        free(python->prefix);
        python->prefix = ncr_parent(real, 2);
    }
    python->version = python->prefix ? version_folder(real ? real : executable, python->prefix) : NULL;
    free(real);
    return python->version;
}

/* A relative folder (of HOME=., say) would be another one in every folder. */
static bool visit_format(ncr_folder_visitor *visit, void *arg, const char *origin, char *folder) {
    bool stop = folder && *folder == '/' && visit(arg, origin, folder);
    free(folder);
    return stop;
}

/* A package folder, and what its .pth files add. */
static bool visit_site(ncr_folder_visitor *visit, void *arg, const char *origin, char *folder) {
    bool stop = folder && *folder == '/' && (visit(arg, origin, folder) || ncr_pth_folders(folder, origin, visit, arg));
    free(folder);
    return stop;
}

static bool visit_user_site(const struct python *python, ncr_folder_visitor *visit, void *arg) {
    const char *base = ncr_environment("PYTHONUSERBASE"), *home = ncr_environment("HOME");
    if (ncr_environment("PYTHONNOUSERSITE") || (!base && !home))
        return false;
    char *folder = base ? ncr_path("%s/lib/%s/site-packages", base, python->version)
                        : ncr_path("%s/.local/lib/%s/site-packages", home, python->version);
    return visit_site(visit, arg, "the user's site-packages", folder);
}

static bool visit_prefix(const struct python *python, const char *prefix, ncr_folder_visitor *visit, void *arg) {
    const char *origin = python->origin, *version = python->version;
    if (strcmp(prefix, "/usr") == 0 &&
        (visit_format(visit, arg, origin, ncr_path("/usr/local/lib/%s/dist-packages", version)) ||
         visit_format(visit, arg, origin, ncr_copy("/usr/lib/python3/dist-packages")) ||
         visit_format(visit, arg, origin, ncr_path("/usr/lib/%s/dist-packages", version)) ||
         visit_format(visit, arg, origin, ncr_path("/usr/local/lib64/%s/site-packages", version)) ||
         visit_format(visit, arg, origin, ncr_path("/usr/local/lib/%s/site-packages", version))))
        return true;
    return visit_site(visit, arg, origin, ncr_path("%s/lib/%s/site-packages", prefix, version)) ||
           visit_format(visit, arg, origin, ncr_path("%s/lib64/%s/site-packages", prefix, version));
}

struct prefix_visit {
    const struct python *python;
    ncr_folder_visitor *visit;
    void *arg;
};

static bool visit_easybuild_prefix(void *arg, const char *origin, const char *prefix) {
    const struct prefix_visit *of = arg;
    return visit_format(of->visit, of->arg, origin, ncr_path("%s/lib/%s/site-packages", prefix, of->python->version));
}

static bool visit_python(const struct python *python, ncr_folder_visitor *visit, void *arg) {
    static const char easybuild[] = "EBPYTHONPREFIXES"; /* of its modules, for its sitecustomize */
    struct prefix_visit of = {python, visit, arg};
    if (ncr_split_absolute(ncr_environment(easybuild), easybuild, visit_easybuild_prefix, &of))
        return true;
    if (!python->base_prefix)
        return visit_user_site(python, visit, arg) || visit_prefix(python, python->prefix, visit, arg);
    if (visit_prefix(python, python->prefix, visit, arg))
        return true;
    return python->system_packages &&
           (visit_user_site(python, visit, arg) || visit_prefix(python, python->base_prefix, visit, arg));
}

static bool visit_executable(char *executable, const char *origin, ncr_folder_visitor *visit, void *arg) {
    struct python python;
    bool stop = describe(&python, executable, origin) && visit_python(&python, visit, arg);
    python_free(&python);
    return stop;
}

/** Visit the package folders that lie inside an environment, whose root is `prefix`. */
bool ncr_environment_folders(const char *prefix, ncr_folder_visitor *visit, void *arg) {
    char *executable = ncr_path("%s/bin/python3", prefix), *real = executable ? ncr_file_real(executable) : NULL;
    char *version = executable ? version_folder(real ? real : executable, prefix) : NULL;
    const struct python python = {.version = version, .origin = prefix};
    bool stop = version && visit_prefix(&python, prefix, visit, arg);
    free(version);
    free(real);
    free(executable);
    return stop;
}

/*
 * pyenv's python3 is a script in ROOT/shims; the interpreter that it would start is named by a variable or a file. NULL
 * if that is none of pyenv's own ("system" is the next one on PATH).
 */
static char *behind_pyenv_shim(const char *shim) {
    char *root = ncr_parent(shim, 2), *name = root ? ncr_path("%s/version", root) : NULL;
    const char *chosen = ncr_environment("PYENV_VERSION");
    char *text = chosen ? ncr_copy(chosen) : name ? ncr_file_text(name, 256) : NULL;
    char *executable = NULL;
    if (text) {
        text[strcspn(text, ": \t\r\n")] = '\0';
        executable = ncr_path("%s/versions/%s/bin/python3", root, text);
    }
    if (executable && !ncr_file_is_executable(executable)) {
        free(executable);
        executable = NULL;
    }
    free(text);
    free(name);
    free(root);
    return executable;
}

static bool visit_if_python(void *arg, const char *origin, const char *folder) {
    (void)origin;
    char **found = arg;
    char *candidate = ncr_path("%s/python3", folder);
    if (candidate && ncr_file_is_executable(candidate)) {
        bool shim = strlen(folder) > 6 && strcmp(folder + strlen(folder) - 6, "/shims") == 0;
        *found = shim ? behind_pyenv_shim(candidate) : candidate;
        if (shim)
            free(candidate);
        return *found != NULL;
    }
    free(candidate);
    return false;
}

static char *python_on_path(void) {
    char *found = NULL;
    ncr_split_absolute(ncr_environment("PATH"), "PATH", visit_if_python, &found);
    return found;
}

/**
 * Visit the package folders of the Python that the subject is or would start, the relative ones left out. Returns
 * whether a visit stopped it.
 */
bool ncr_python_folders(const struct ncr_subject *subject, ncr_folder_visitor *visit, void *arg) {
    static const char *const lists[] = {"PYTHONPATH", "NIX_PYTHONPATH", "GUIX_PYTHONPATH"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (ncr_split_absolute(ncr_environment(lists[i]), lists[i], visit, arg))
            return true;
    char *running = running_interpreter(subject);
    if (running)
        return visit_executable(running, "the running Python", visit, arg);

    const char *venv = ncr_environment("VIRTUAL_ENV"), *conda = ncr_environment("CONDA_PREFIX");
    if (venv && *venv == '/' && visit_executable(ncr_path("%s/bin/python3", venv), "VIRTUAL_ENV", visit, arg))
        return true;
    if (conda && *conda == '/' && visit_executable(ncr_path("%s/bin/python3", conda), "CONDA_PREFIX", visit, arg))
        return true;
    return visit_executable(python_on_path(), "the python3 on PATH", visit, arg);
}
