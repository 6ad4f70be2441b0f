/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl-redirect fingerprint: one line per host. The build-id, which the linker makes of what it links, identifies a library
 * file without reading its hundreds of megabytes; SHA-256 is for files without one, and where it is asked for.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static const char *host_name(void) {
    static struct utsname host;
    return uname(&host) == 0 ? host.nodename : "?";
}

static void print_json(const struct fingerprint *print) {
    struct json *object = json_object();
    bool none = strcmp(print->version, "none") == 0;
    json_add_text(object, "version", none ? NULL : print->version);
    json_add_text(object, "build_id", print->build_id);
    json_add_text(object, "sha256", print->sha256);
    json_add_text(object, "path", none ? NULL : print->path);
    json_add_text(object, "host", print->host);
    puts(json_text(object)); /* one line, as the text is: the lines of many hosts can be merged */
}

static int print_line(const struct request *request, const char *path, int version) {
    struct fingerprint print = {.version = "none", .path = "-", .host = host_name()};
    struct elf_info info = {0};
    if (path) {
        elf_info_read(path, ELF_BASICS, &info);
        print.version = version ? version_text(version) : "?";
        print.path = path;
        print.build_id = *info.build_id ? formatted("%s", info.build_id) : NULL;
        print.sha256 = request->sha256 || !print.build_id ? sha256_of_file(path) : NULL;
        if (!print.build_id && !print.sha256) {
            complain("%s cannot be read as a regular file: it has no fingerprint", path);
            return EXIT_FINDING;
        }
    }
    if (request->json)
        print_json(&print);
    else
        line_print_whole("%s %s %s %s", print.version,
                         print.sha256     ? print.sha256
                         : print.build_id ? print.build_id
                                          : "-",
                         print.path, print.host);
    return EXIT_FINE;
}

static int print_own(const struct request *request) {
    struct ncr_config config;
    struct decision decision;
    int status = choice_apply(request, NULL);
    if (status)
        return status;
    ncr_config_read(&config);
    decide(&decision, &config, NULL);
    const struct considered *chosen = decision.chosen;
    status = print_line(request, chosen ? chosen->real_path : NULL, chosen ? chosen->version : 0);
    if (!chosen)
        complain("%s", decision_failure(&decision));
    return chosen ? status : decision_status(&decision);
}

int subcommand_fingerprint(struct request *request) {
    int status = EXIT_FINE;
    if (request->merge)
        return fingerprints_merge(request);
    if (!request->rest_count)
        return print_own(request);
    for (int i = 0; i < request->rest_count; i++) {
        char *path = realpath(request->rest[i], NULL);
        int one = print_line(request, path ? path : request->rest[i], nccl_version_of(path ? path : request->rest[i]));
        status = one ? one : status;
    }
    return status;
}
