/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every NCCL that this environment can reach: what the methods find, wheels without a torch beside them, and what is
 * odd about them.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct gathering {
    struct catalogue *catalogue;
    struct ncr_config config; /* auto and without a range: everything */
};

static struct nccl *known_file(struct catalogue *catalogue, const struct ncr_validation *validation) {
    for (unsigned i = 0; i < catalogue->count; i++)
        if (catalogue->list[i].inode == validation->inode && catalogue->list[i].device == validation->device)
            return &catalogue->list[i];
    return NULL;
}

static void remark(struct nccl *nccl, const char *text, const char *fix) {
    names_add(&nccl->remarks, text);
    names_add(&nccl->fixes, fix);
}

static void read_file(struct nccl *nccl) {
    char text[NCR_VERSION_TEXT] = "";
    struct ncr_elf elf;
    struct elf_info info;
    ncr_elf_open(&elf, nccl->path);
    nccl->size = (uint64_t)elf.status.st_size;
    if (!elf.refusal)
        nccl->version = ncr_elf_nccl_version(&elf, text);
    ncr_elf_close(&elf);
    nccl->version_text = *text ? formatted("%s", text) : NULL;
    const char *cuda = strstr(text, "+cuda");
    nccl->cuda = cuda ? formatted("%s", cuda + 5) : NULL;
    elf_info_read(nccl->path, ELF_BASICS, &info);
    nccl->build_id = *info.build_id ? formatted("%s", info.build_id) : NULL;
}

/* The version in a wheel's name is the one that it installed; the file that is there now may be another one. */
static void compare_with_owners(struct nccl *nccl) {
    const struct owners *owners = &nccl->owners;
    const struct owner *writer = NULL;
    for (unsigned i = 0; i < owners->count; i++)
        if (!owners->list[i].other_size)
            writer = &owners->list[i];
    if (owners->count > 1) {
        remark(nccl,
               formatted("%u packages own this one file; %s%s%s. Uninstalling one removes it for the others",
                         owners->count, writer ? "it is the one of " : "it is the one that was installed last",
                         writer ? writer->name : "", writer ? formatted(" %s", writer->version) : ""),
               "uninstall all of them, then install the one that torch asks for");
        return;
    }
    const struct owner *owner = owners->count ? &owners->list[0] : NULL;
    int version;
    const char *end;
    if (!owner || strcmp(owner->kind, "wheel") != 0)
        return;
    if (strstr(owner->name, "nccl") && ncr_version_parse(owner->version, &version, &end) && nccl->version &&
        version != nccl->version)
        remark(nccl,
               formatted("the wheel says %s, the file is %s: it was replaced after the wheel was installed",
                         owner->version, version_text(nccl->version)),
               "pip install --force-reinstall that wheel, if it is the one that you want");
    else if (owner->other_size)
        remark(nccl,
               formatted("its size is not what %s %s installed: it was replaced, or copied in part", owner->name,
                         owner->version),
               "install that package again");
}

static void take(struct gathering *gathering, const char *method, const char *origin, const char *path) {
    struct catalogue *catalogue = gathering->catalogue;
    struct ncr_validation validation;
    ncr_validate(path, &gathering->config, &validation);
    struct nccl *known = validation.inode ? known_file(catalogue, &validation) : NULL;
    if (known && strcmp(known->path, path) != 0 && !names_have(&known->also, path))
        names_add(&known->also, formatted("%s", path));
    bool library_of_torch = ncr_begins(ncr_basename(path), "libtorch") && validation.refusal;
    if (!validation.missing && !known && !library_of_torch) {
        struct nccl one = {.path = formatted("%s", path),
                           .real_path = realpath(path, NULL),
                           .method = method,
                           .origin = formatted("%s", origin),
                           .rccl = validation.rccl,
                           .device = validation.device,
                           .inode = validation.inode};
        one.refusal = validation.refusal ? formatted("%s", validation.refusal) : NULL;
        one.real_path = one.real_path ? one.real_path : one.path;
        read_file(&one);
        owners_find(one.path, one.real_path, one.size, &one.owners);
        compare_with_owners(&one);
        catalogue->usable += !one.refusal;
        catalogue->list = list_grow(catalogue->list, catalogue->count, sizeof *catalogue->list);
        catalogue->list[catalogue->count++] = one;
    }
    ncr_validation_free(&validation);
}

static bool visit(void *arg, const struct ncr_candidate *candidate) {
    take(arg, ncr_method_name(candidate->method), candidate->origin, candidate->path);
    return false;
}

static bool visit_packages(void *arg, const char *origin, const char *folder) {
    const char *path = formatted("%s/nvidia/nccl/lib/libnccl.so.2", folder);
    if (ncr_file_exists(path))
        take(arg, "none", origin, path);
    return false;
}

/** Gather them. What `config` chooses does not matter, except that a path which it names is listed too. */
void catalogue_read(struct catalogue *catalogue, const struct ncr_config *config, const struct ncr_subject *subject) {
    static const struct ncr_subject any;
    subject = subject ? subject : &any;
    *catalogue = (struct catalogue){.notes = ""};
    struct gathering gathering = {catalogue, *config};
    gathering.config.choice = NCR_CHOOSE_AUTO;
    gathering.config.require_text = NULL;
    struct ncr_search search = {.config = &gathering.config, .subject = subject, .visit = visit, .arg = &gathering};
    ncr_candidates(&search);
    if (config->choice == NCR_CHOOSE_PATH)
        take(&gathering, "path", "NCCL_REDIRECT", config->path);
    ncr_python_folders(subject, visit_packages, &gathering);
    if (search.notes.length)
        catalogue->notes = formatted("%s", search.notes.data + 2);
    for (unsigned i = 0; i < catalogue->count; i++)
        if (strcmp(catalogue->list[i].method, "none") == 0)
            remark(&catalogue->list[i], formatted("there is no torch beside it, so neither torch nor system finds it"),
                   formatted("name it: --use %s", catalogue->list[i].path));
}

/* ---- functions ---- */

/** Which of these functions does the NCCL in `path` not export? */
struct names lacking(const struct names *needs, const char *path) {
    struct elf_info info;
    struct names lacks = {NULL, 0};
    elf_info_read(path, ELF_SYMBOLS, &info);
    for (unsigned i = 0; i < needs->count; i++)
        if (!names_have(&info.exported, needs->list[i]))
            names_add(&lacks, needs->list[i]);
    names_sort(&lacks);
    return lacks;
}

static const char *since_text(const char *name) {
    for (unsigned i = 0; i < NCR_ROWS; i++)
        if (strcmp(ncr_functions[i].name, name) == 0)
            return ncr_functions[i].rccl ? formatted("%s (RCCL)", name)
                                         : formatted("%s (%s)", name, version_text(ncr_functions[i].since));
    return name;
}

/** A list of functions with the version that has each first; shortened unless `all`. */
const char *functions_text(const struct names *lacks, bool all) {
    struct ncr_text text = {0};
    unsigned most = all || lacks->count <= 8 ? lacks->count : 6;
    for (unsigned i = 0; i < most; i++)
        ncr_text_add(&text, "%s%s", i ? ", " : "", since_text(lacks->list[i]));
    if (most < lacks->count)
        ncr_text_add(&text, " and %u more (--all)", lacks->count - most);
    return ncr_text_get(&text);
}
