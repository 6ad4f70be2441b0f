/* SPDX-License-Identifier: Apache-2.0 */
/* How a file reaches NCCL: linked, opened at run time, inside itself, or not at all; and which functions it needs. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

const char *reach_word(enum reach reach) {
    static const char *const words[] = {"none",   "linked", "through", "opened", "exported",
                                        "static", "nccl",   "shim",    "script"};
    return words[reach];
}

static const char *joined(const struct names *names) {
    struct ncr_text text = {0};
    for (unsigned i = 0; i < names->count; i++)
        ncr_text_add(&text, "%s%s", i ? ", " : "", names->list[i]);
    return ncr_text_get(&text);
}

static void add_all(struct names *to, const struct names *from) {
    for (unsigned i = 0; i < from->count; i++)
        if (!names_have(to, from->list[i]))
            names_add(to, from->list[i]);
}

static const char *linked_name(const struct elf_info *info) {
    for (unsigned i = 0; i < info->needed.count; i++)
        if (ncr_is_nccl_name(info->needed.list[i]))
            return info->needed.list[i];
    return NULL;
}

/* Is NCCL all that it exports? An extension that has one inside exports its own functions too. */
static bool exports_more(const char *path) {
    struct ncr_elf elf;
    bool more = false;
    size_t at = 0;
    ncr_elf_open(&elf, path);
    if (ncr_elf_load_symbols(&elf))
        for (const char *name; !more && (name = ncr_elf_next_export(&elf, &at));)
            more =
                !ncr_begins(name, "nccl") && !ncr_begins(name, "pnccl") && !ncr_begins(name, "mscclpp") && *name != '_';
    ncr_elf_close(&elf);
    return more;
}

static bool is_nccl(const char *path, const struct elf_info *info, enum reach *reach) {
    struct ncr_config any = {.choice = NCR_CHOOSE_AUTO};
    struct ncr_validation validation;
    ncr_validate(path, &any, &validation);
    bool named = ncr_is_nccl_name(path) || (info->soname && ncr_is_nccl_name(info->soname));
    bool torch = ncr_begins(ncr_basename(path), "libtorch");
    bool yes = !validation.refusal && !torch && (named || !exports_more(path));
    ncr_validation_free(&validation);
    *reach = yes ? REACH_NCCL : is_shim(path) ? REACH_SHIM : REACH_NONE;
    return *reach != REACH_NONE;
}

/* The rule that leaves such a library its own NCCL, or "". */
static const char *own_rule(const char *path) {
    char *real = realpath(path, NULL);
    const char *name = ncr_basename(path);
    bool torch = ncr_begins(name, "libtorch"); /* what torch has inside is torch's NCCL */
    const char *rule = real && !torch ? formatted(". To leave it its own NCCL: NCCL_REDIRECT_RULES=%s",
                                                  shell_word(formatted("%s=%s", name, real)))
                                      : "";
    free(real);
    return rule;
}

/*
 * An NCCL inside: reachable only if the file exports its functions and calls them through its procedure linkage table.
 */
static void describe_inside(struct reached *reached, const struct elf_info *info) {
    unsigned open = 0;
    for (unsigned i = 0; i < info->exported.count; i++)
        open += names_have(&info->bound, info->exported.list[i]);
    const char *version = info->version_text ? formatted(" (%s)", info->version_text) : "";
    reached->version = info->version_text;
    if (names_have(&info->exported, "ncclAllReduce")) {
        reached->reach = REACH_EXPORTED;
        reached->how =
            formatted("an NCCL%s is linked into it and exported, so it can be used. %s", version,
                      open ? formatted("Its own calls of %u functions go through the loader's table: redirected%s",
                                       open, own_rule(reached->path))
                           : "Its own calls stay inside: not redirected");
    } else {
        reached->reach = REACH_STATIC;
        reached->how = formatted("an NCCL%s is linked into it%s: a preload library cannot reach its calls. "
                                 "To redirect it, build it with the shared libnccl (-lnccl)",
                                 version, info->defined.count ? "" : ", names stripped");
    }
}

static void look_through(struct reached *reached) {
    struct ncr_object *objects;
    unsigned count;
    dependencies(reached->path, &objects, &count);
    for (unsigned i = 1; i < count; i++) {
        struct elf_info info;
        if (!objects[i].needs_nccl)
            continue;
        names_add(&reached->via, objects[i].path);
        elf_info_read(objects[i].path, ELF_SYMBOLS, &info);
        add_all(&reached->needs, &info.wanted);
    }
    if (reached->via.count && reached->reach == REACH_NONE) {
        reached->reach = REACH_THROUGH;
        reached->how = formatted("linked with NCCL through %s", joined(&reached->via));
    }
}

/*
 * Functions of these names in a file without an NCCL look up the real ones at run time, as those of XLA do, or wrap
 * them.
 */
static void describe_opened(struct reached *reached, const struct elf_info *info) {
    reached->reach = REACH_OPENED;
    add_all(&reached->needs, &info->asked);
    if (info->opened.count)
        reached->how = formatted("opens %s at run time: redirected when it does", joined(&info->opened));
    else if (info->wanted.count)
        reached->how = "needs NCCL functions from whatever loads it: redirected";
    else if (info->asked.count)
        reached->how = formatted("has functions of its own by the names of %u NCCL functions, which "
                                 "look up the real ones at run "
                                 "time: redirected when they do",
                                 info->defined.count);
    else
        reached->how = formatted("defines %u NCCL functions itself, but contains no NCCL: a tool that wraps NCCL?",
                                 info->defined.count);
}

static void describe_elf(struct reached *reached, const struct elf_info *info, bool with_dependencies) {
    const char *linked = linked_name(info);
    /* Every NCCL carries its version as text. */
    bool inside =
        info->version_text && (names_have(&info->defined, "ncclAllReduce") || (!linked && !info->opened.count));
    add_all(&reached->needs, &info->wanted);
    if (linked) {
        reached->reach = REACH_LINKED;
        reached->how = formatted("linked with %s: redirected from its start%s", linked,
                                 info->dynamic ? "" : " (but it is static, so it is not)");
    } else if (inside) {
        describe_inside(reached, info);
    } else if (info->opened.count || info->wanted.count || info->defined.count) {
        describe_opened(reached, info);
    }
    if (with_dependencies)
        look_through(reached);
    if (reached->reach == REACH_NONE)
        reached->how = !info->wide      ? "a 32-bit file, which NCCL is not for"
                       : !info->dynamic ? "does not reach NCCL (linked statically)"
                                        : "does not reach NCCL";
    if (info->cut)
        reached->how = formatted("%s (only the first %llu MiB of its constant data were searched)", reached->how,
                                 (unsigned long long)NCR_ELF_MOST_TEXT >> 20);
}

static void describe_text(struct reached *reached) {
    char *text = ncr_file_text(reached->path, 4 << 20);
    bool names = text && (strstr(text, "libnccl.so") || strstr(text, "librccl.so"));
    reached->reach = names ? REACH_SCRIPT : REACH_NONE;
    reached->how = names ? "text that names libnccl.so: if it opens it (ctypes, cffi), it is "
                           "redirected when it does"
                         : "not a program or library, and it names no NCCL";
}

/** Describe one file. `with_dependencies` follows what it is linked with, too. */
void reach_of_file(const char *path, bool with_dependencies, struct reached *reached) {
    struct elf_info info;
    *reached = (struct reached){.path = path};
    elf_info_read(path, ELF_TEXTS, &info);
    if (!info.is_elf) {
        describe_text(reached);
        return;
    }
    if (is_nccl(path, &info, &reached->reach)) {
        reached->version = info.version_text;
        reached->how = reached->reach == REACH_SHIM
                           ? "is nccl-redirect's preload library"
                           : formatted("is an NCCL (%s)", info.version_text ? info.version_text : "version unknown");
        return;
    }
    describe_elf(reached, &info, with_dependencies);
    names_sort(&reached->needs);
}
