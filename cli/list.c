/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect list: every NCCL that can be found on this machine from this environment. */
#include "cli.h"

#include <string.h>

static void show(const struct nccl *nccl) {
    const char *name =
        formatted("%s %s", nccl->rccl ? "RCCL" : "NCCL", nccl->version ? version_text(nccl->version) : "?");
    bool none = strcmp(nccl->method, "none") == 0;
    record_begin();
    line_add(nccl->refusal ? BAD : STRONG, "%-13s", name);
    line_add(PLAIN, " %-12s %9s   %s%sfrom %s", nccl->cuda ? formatted("CUDA %s", nccl->cuda) : "",
             size_text(nccl->size), none ? "" : nccl->method, none ? "" : ", ", nccl->origin);
    line_end(0, 12);
    pair_print(10, PLAIN, "file", "%s", nccl->path);
    if (strcmp(nccl->path, nccl->real_path) != 0)
        pair_print(10, PLAIN, "real file", "%s", nccl->real_path);
    for (unsigned i = 0; i < nccl->also.count; i++)
        pair_print(10, PLAIN, "also", "%s", nccl->also.list[i]);
    pair_print(10, PLAIN, "owner", "%s", owner_text(&nccl->owners));
    if (nccl->build_id)
        pair_print(10, PLAIN, "build-id", "%s", nccl->build_id);
    if (nccl->refusal)
        pair_print(10, BAD, "refused", "it %s", nccl->refusal);
    for (unsigned i = 0; i < nccl->remarks.count; i++)
        pair_print(10, DOUBTFUL, "note", "%s. Fix: %s", nccl->remarks.list[i], nccl->fixes.list[i]);
    record_end();
}

static struct json *owners_json(const struct owners *owners) {
    struct json *list = json_list();
    for (unsigned i = 0; i < owners->count; i++) {
        struct json *owner = json_object();
        json_add_text(owner, "kind", owners->list[i].kind);
        json_add_text(owner, "name", owners->list[i].name);
        json_add_text(owner, "version", owners->list[i].version);
        json_add_bool(owner, "other_size", owners->list[i].other_size);
        json_add(list, NULL, owner);
    }
    return list;
}

static struct json *nccl_json(const struct nccl *nccl) {
    struct json *object = json_object();
    json_add_text(object, "path", nccl->path);
    json_add_text(object, "real_path", nccl->real_path);
    json_add_text(object, "method", nccl->method);
    json_add_text(object, "origin", nccl->origin);
    json_add_text(object, "version", nccl->version ? version_text(nccl->version) : NULL);
    json_add_text(object, "version_text", nccl->version_text);
    json_add_text(object, "cuda", nccl->cuda);
    json_add_bool(object, "rccl", nccl->rccl);
    json_add_number(object, "size", (long long)nccl->size);
    json_add_text(object, "build_id", nccl->build_id);
    json_add(object, "owners", owners_json(&nccl->owners));
    json_add_names(object, "also", &nccl->also);
    json_add_text(object, "refusal", nccl->refusal);
    json_add_names(object, "remarks", &nccl->remarks);
    return object;
}

int subcommand_list(struct request *request) {
    struct ncr_config config;
    struct catalogue catalogue;
    if (request->history)
        return history_show(request);
    ncr_config_read(&config);
    catalogue_read(&catalogue, &config, NULL);
    struct json *list = json_list();
    for (unsigned i = 0; i < catalogue.count; i++) {
        if (request->json) {
            json_add(list, NULL, nccl_json(&catalogue.list[i]));
            continue;
        }
        if (i > 0)
            gap_print();
        show(&catalogue.list[i]);
    }
    if (request->json) {
        struct json *object = json_object();
        json_add(object, "libraries", list);
        json_add_text(object, "note", *catalogue.notes ? catalogue.notes : NULL);
        json_print(object);
    } else {
        if (!catalogue.usable) {
            line_add(BAD, "none");
            line_add(PLAIN,
                     ": this environment offers no NCCL that can be used. Activate the environment that has torch, "
                     "install NCCL, or name a file: --use /path/libnccl.so.2");
            line_end(0, 0);
        }
        if (*catalogue.notes && catalogue.count)
            gap_print();
        if (*catalogue.notes)
            line_print(0, "note: %s", catalogue.notes);
    }
    return catalogue.usable ? EXIT_FINE : EXIT_FINDING;
}
