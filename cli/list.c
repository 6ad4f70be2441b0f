/* nccl-redirect list: every NCCL that this machine offers to this environment. */
#include "cli.h"

#include <string.h>

static void show(const struct nccl *nccl) {
    const char *name = make("%s %s", nccl->rccl ? "RCCL" : "NCCL", nccl->version ? version_text(nccl->version) : "?");
    bool none = strcmp(nccl->method, "none") == 0;
    printf("%s%*s %-12s %9s   %s%sfrom %s\n", tinted(nccl->refusal ? BAD : STRONG, name),
           strlen(name) < 13 ? (int)(13 - strlen(name)) : 0, "", nccl->cuda ? make("CUDA %s", nccl->cuda) : "",
           size_text(nccl->size), none ? "" : nccl->method, none ? "" : ", ", nccl->origin);
    put_pair(10, "file", "%s", nccl->path);
    if (strcmp(nccl->path, nccl->real_path) != 0)
        put_pair(10, "real file", "%s", nccl->real_path);
    for (unsigned i = 0; i < nccl->also.count; i++)
        put_pair(10, "also", "%s", nccl->also.list[i]);
    put_pair(10, "owner", "%s", owner_text(&nccl->owners));
    if (nccl->build_id)
        put_pair(10, "build-id", "%s", nccl->build_id);
    if (nccl->refusal)
        put_pair(10, tinted(BAD, "refused"), "it %s", nccl->refusal);
    for (unsigned i = 0; i < nccl->remarks.count; i++)
        put_pair(10, tinted(DOUBTFUL, "note"), "%s. To do: %s", nccl->remarks.list[i], nccl->cures.list[i]);
}

static cJSON *owners_json(const struct owners *owners) {
    cJSON *list = cJSON_CreateArray();
    for (unsigned i = 0; i < owners->count; i++) {
        cJSON *owner = cJSON_CreateObject();
        cJSON_AddStringToObject(owner, "kind", owners->list[i].kind);
        cJSON_AddStringToObject(owner, "name", owners->list[i].name);
        cJSON_AddStringToObject(owner, "version", owners->list[i].version);
        cJSON_AddBoolToObject(owner, "other_size", owners->list[i].other_size);
        cJSON_AddItemToArray(list, owner);
    }
    return list;
}

static cJSON *nccl_json(const struct nccl *nccl) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "path", nccl->path);
    cJSON_AddStringToObject(object, "real_path", nccl->real_path);
    cJSON_AddStringToObject(object, "method", nccl->method);
    cJSON_AddStringToObject(object, "origin", nccl->origin);
    json_text(object, "version", nccl->version ? version_text(nccl->version) : NULL);
    json_text(object, "version_text", nccl->version_text);
    json_text(object, "cuda", nccl->cuda);
    cJSON_AddBoolToObject(object, "rccl", nccl->rccl);
    cJSON_AddNumberToObject(object, "size", (double)nccl->size);
    json_text(object, "build_id", nccl->build_id);
    cJSON_AddItemToObject(object, "owners", owners_json(&nccl->owners));
    cJSON_AddItemToObject(object, "also", json_names(&nccl->also));
    json_text(object, "refusal", nccl->refusal);
    cJSON_AddItemToObject(object, "remarks", json_names(&nccl->remarks));
    return object;
}

int verb_list(struct request *request) {
    struct ncr_config config;
    struct catalogue catalogue;
    ncr_config_read(&config);
    catalogue_read(&catalogue, &config, NULL);
    cJSON *list = cJSON_CreateArray();
    for (unsigned i = 0; i < catalogue.count; i++) {
        if (request->json) {
            cJSON_AddItemToArray(list, nccl_json(&catalogue.list[i]));
            continue;
        }
        if (i > 0)
            putchar('\n');
        show(&catalogue.list[i]);
    }
    if (request->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddItemToObject(object, "libraries", list);
        json_text(object, "note", *catalogue.notes ? catalogue.notes : NULL);
        put_json(object);
    } else {
        if (!catalogue.usable)
            put(0,
                "%s: this environment offers no NCCL that can be used. Activate the environment "
                "that has torch, install NCCL, or "
                "name a file: --use /path/libnccl.so.2",
                tinted(BAD, "none"));
        if (*catalogue.notes)
            put(0, "%snote: %s", catalogue.count ? "\n" : "", catalogue.notes);
    }
    return catalogue.usable ? EXIT_FINE : EXIT_FINDING;
}
