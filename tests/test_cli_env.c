/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect env and fingerprint: forms that launchers and other programs read. */
#include "scene.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHIM SCENE_NAME "/lib/nccl-redirect/libnccl_redirect.so"

static struct scene scene;

static int make_scenes(void **state) {
    (void)state;
    scene = scene_make("healthy");
    scene_set(&scene, "NCCL_REDIRECT_REQUIRE=>=2.18,<3");
    return 0;
}

static cJSON *json_of(const char *line) {
    cJSON *json = cJSON_Parse(scene_says(&scene, 0, line));
    assert_non_null(json);
    return json;
}

static const char *value(const cJSON *object, const char *key) {
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItem(object, key));
    return found ? found : "(no such key)";
}

/* Used as the manual says, it redirects. */
static void sh_is_for_eval(void **state) {
    (void)state;
    const char *said = scene_says(&scene, 0,
                                  "eval \"$(nccl-redirect env --use system)\"; echo \"$LD_PRELOAD "
                                  "$NCCL_REDIRECT_REQUIRE\"; python train.py");
    assert_string_equal(said, SHIM " >=2.18,<3\ntrain.py: NCCL 2.32.3\n");
    said = scene_says(&scene, 0, "eval \"$(nccl-redirect env)\"; eval \"$(nccl-redirect env)\"; echo \"$LD_PRELOAD\"");
    assert_string_equal(said, SHIM "\n");
    assert_contains(scene_says(&scene, 0, "NCCL_REDIRECT_LOG_FILE=\"/tmp/it's %p\" nccl-redirect env"),
                    "export NCCL_REDIRECT_LOG_FILE='/tmp/it'\\''s %p'\n");
}

static void launchers_get_their_form(void **state) {
    (void)state;
    assert_contains(scene_says(&scene, 0, "nccl-redirect env --use torch --format mpirun"),
                    "-x LD_PRELOAD=" SHIM " -x NCCL_REDIRECT=torch -x 'NCCL_REDIRECT_REQUIRE=>=2.18,<3'\n");
    const char *said = scene_says(&scene, 0, "nccl-redirect env --use torch --format srun");
    assert_contains(said, "--export=ALL,LD_PRELOAD=" SHIM ",NCCL_REDIRECT=torch\n");
    assert_contains(said, "srun cannot carry the comma in NCCL_REDIRECT_REQUIRE");
    said = scene_says(&scene, 0, "nccl-redirect env --use $PWD/nccl/lib/libnccl.so.2 --format docker");
    assert_contains(said, "--env LD_PRELOAD=" SHIM " --env NCCL_REDIRECT=" SCENE_NAME "/nccl/lib/libnccl.so.2");
    assert_contains(said, "--volume " SCENE_NAME "/lib/nccl-redirect:" SCENE_NAME "/lib/nccl-redirect:ro");
    assert_contains(said, "--volume " SCENE_NAME "/nccl/lib:" SCENE_NAME "/nccl/lib:ro");
    /* In a container the other libraries of LD_PRELOAD may not be there. */
    assert_lacks(scene_says(&scene, 0, "LD_PRELOAD=$LD_PRELOAD:libm.so.6 nccl-redirect env --format docker"),
                 "libm.so.6");
    assert_contains(scene_says(&scene, 0, "LD_PRELOAD=$LD_PRELOAD:libm.so.6 nccl-redirect env --format mpirun"),
                    "LD_PRELOAD=libm.so.6:" SHIM);
}

/* $(...) keeps the quotes that a $ needs, and in an image $LIB may mean a folder that is not there. */
static void words_and_images_get_no_lib(void **state) {
    (void)state;
    if (access("/lib/ld-linux.so.2", F_OK) != 0) {
        print_message("skipped: no 32-bit loader here\n");
        skip();
    }
    struct scene narrow = scene_make("healthy");
    scene_set(&narrow, "LD_PRELOAD="); /* this machine's loader */
    static const char *const folders[] = {"lib/x86_64-linux-gnu", "lib64"};
    for (int i = 0; i < 2; i++)
        make_link(text("%s/lib/nccl-redirect/libnccl_redirect.so", narrow.root),
                  text("%s/lib/nccl-redirect/%s/libnccl_redirect.so", narrow.root, folders[i]));
    static const char *const here[] = {"sh", "fish", "csh", "sbatch", "systemd", "kernelspec", "json"};
    for (size_t i = 0; i < sizeof here / sizeof *here; i++)
        assert_contains(scene_says(&narrow, 0, text("nccl-redirect env --format %s", here[i])),
                        "$LIB/libnccl_redirect.so");
    static const char *const others[] = {"mpirun", "srun", "docker", "k8s", "cdi", "apptainer", "dockerfile", "ray"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *said =
            scene_says(&narrow, 0, text("LD_PRELOAD=libm.so.6 nccl-redirect env --format %s", others[i]));
        assert_contains(said, SHIM);
        assert_lacks(said, "$LIB");
        assert_lacks(said, "'");
    }
}

static void json_forms_are_whole(void **state) {
    (void)state;
    assert_string_equal(value(json_of("nccl-redirect env --use system --format json"), "NCCL_REDIRECT"), "system");
    cJSON *ray = cJSON_GetObjectItem(json_of("nccl-redirect env --format ray"), "env_vars");
    assert_string_equal(value(ray, "LD_PRELOAD"), SHIM);
    assert_string_equal(value(ray, "NCCL_REDIRECT_REQUIRE"), ">=2.18,<3");

    cJSON *cdi = json_of("nccl-redirect env --use $PWD/nccl/lib/libnccl.so.2 --format cdi");
    assert_string_equal(value(cdi, "cdiVersion"), "0.3.0");
    assert_string_equal(value(cdi, "kind"), "nccl-redirect/nccl");
    cJSON *common = cJSON_GetObjectItem(cdi, "containerEdits"), *devices = cJSON_GetObjectItem(cdi, "devices");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(common, "env"), 0)),
                        "LD_PRELOAD=" SHIM);
    assert_string_equal(value(cJSON_GetArrayItem(cJSON_GetObjectItem(common, "mounts"), 0), "hostPath"),
                        SCENE_NAME "/lib/nccl-redirect");
    static const char *const names[] = {"auto", "torch", "system", "path"};
    assert_int_equal(cJSON_GetArraySize(devices), 4);
    for (int i = 0; i < 4; i++) {
        cJSON *device = cJSON_GetArrayItem(devices, i), *edits = cJSON_GetObjectItem(device, "containerEdits");
        assert_string_equal(value(device, "name"), names[i]);
        assert_contains(cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(edits, "env"), 0)),
                        text("NCCL_REDIRECT=%s", i < 3 ? names[i] : SCENE_NAME "/nccl/lib/libnccl.so.2"));
    }
}

static void k8s_is_yaml(void **state) {
    (void)state;
    const char *said = scene_says(&scene, 0, "nccl-redirect env --use torch --format k8s");
    assert_contains(said, "        - name: LD_PRELOAD\n          value: \"" SHIM "\"\n");
    assert_contains(said, "          value: \">=2.18,<3\"\n");
    assert_contains(said, "        - name: nccl-redirect\n          mountPath: \"" SCENE_NAME "/lib/nccl-redirect\"\n");
    assert_lacks(said, "nccl-backend");
    assert_contains(scene_says(&scene, 0, "nccl-redirect env --use $PWD/nccl/lib/libnccl.so.2 --format k8s"),
                    "nccl-backend");
}

static void a_wrong_value_is_refused(void **state) {
    (void)state;
    assert_contains(scene_says(&scene, 2, "nccl-redirect env --use sytem"), "is not a backend");
}

/* ---- fingerprint ---- */

static void a_fingerprint_is_one_line(void **state) {
    (void)state;
    const char *file = text("%s/venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2", scene.root);
    struct result sum = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/sha256sum", file));
    sum.out[64] = '\0';
    const char *form =
        "2.21.5 %s " SCENE_NAME "/venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2 node7\n";
    const char *line = text(form, "2e87d0e7f2a98a3fc40945c13c095f8b7e5ef72b");
    assert_string_equal(scene_says(&scene, 0, "nccl-redirect fingerprint --sha256"), text(form, sum.out));
    assert_string_equal(scene_says(&scene, 0, "nccl-redirect fingerprint"), line);
    assert_string_equal(scene_says(&scene, 0, "nccl-redirect fingerprint --use torch --strict"), line);
    assert_string_equal(scene_says(&scene, 0,
                                   "nccl-redirect fingerprint "
                                   "venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2"),
                        line);
    assert_contains(scene_says(&scene, 0, "nccl-redirect fingerprint --use system"), "2.32.3 ");
    assert_contains(scene_says(&scene, 78, "nccl-redirect fingerprint --use /nowhere/libnccl.so.2"),
                    "none - - node7\n");
    result_free(&sum);
}

static void hosts_are_compared(void **state) {
    (void)state;
    assert_contains(scene_says(&scene, 0, "nccl-redirect fingerprint | nccl-redirect fingerprint --merge"),
                    "all hosts have the same");
    const char *said = scene_says(&scene, 1, "nccl-redirect fingerprint --merge fingerprints");
    assert_contains(said, "    2 hosts  NCCL 2.28.9");
    assert_contains(said, "    1 host   NCCL 2.28.3");
    assert_contains(said, "the hosts differ: 2 different NCCLs");
    write_file(text("%s/spaces", scene.root),
               "2.28.9 aa /a b/libnccl.so.2 n1\n2.28.9 aa /c d/libnccl.so.2 n10\n\n2.28.9 aa /a "
               "b/libnccl.so.2 n2\n");
    said = scene_says(&scene, 0, "nccl-redirect fingerprint --merge spaces");
    assert_contains(said, "3 hosts");
    assert_contains(said, "(elsewhere on some)");
    assert_contains(said, "n1 n2 n10");
    write_file(text("%s/one", scene.root), "2.28.9 aa /a n1\nnone - - n2\n");
    assert_contains(scene_says(&scene, 1, "nccl-redirect fingerprint --merge one"), "no NCCL that can be used");
    assert_contains(scene_says(&scene, 2, "nccl-redirect fingerprint --merge </dev/null"), "no line to compare");
    assert_contains(scene_says(&scene, 2, "echo what | nccl-redirect fingerprint --merge"),
                    "not a line of fingerprint");
    assert_contains(scene_says(&scene, 2, "nccl-redirect fingerprint --merge nothere"), "cannot be read");
}

/* SHA-256 by the padding's cases: a block that is full, one byte less, none. */
static void sums_are_those_of_sha256sum(void **state) {
    (void)state;
    static const unsigned sizes[] = {1, 55, 56, 63, 64, 65, 119, 120, 65535, 65536, 65537, 200000};
    const char *file = text("%s/sized", scene.root);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        write_file(file, text("%0*d", (int)sizes[i], 7));
        struct result sum = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/sha256sum", file));
        sum.out[64] = '\0';
        assert_contains(scene_says(&scene, 0, "nccl-redirect fingerprint sized"), sum.out);
        result_free(&sum);
    }
}

static void lines_come_as_launchers_hand_them_over(void **state) {
    (void)state;
    static const char *const prefixes[] = {
        "",         "3: ",     "node1: ", "[1,0]<stdout>:", "[1,0]<stdout>: ", "[p@1,2]<stdout>: ", "10.0.0.1:\t",
        "pod/x | ", "[pod/x] "};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        write_file(text("%s/lines", scene.root), text("%s2.28.9 abcdef0123456789 /a b/lib.so n1\n"
                                                      "%s2.28.9 abcdef0123456789 /a b/lib.so n2\n",
                                                      prefixes[i], prefixes[i]));
        assert_contains(scene_says(&scene, 0, "nccl-redirect fingerprint --merge lines"), "2 hosts  NCCL 2.28.9");
    }
    const char *said = scene_says(&scene, 1,
                                  "(nccl-redirect fingerprint --json; echo 7: $(nccl-redirect fingerprint --json); "
                                  "nccl-redirect fingerprint --json --use system) | nccl-redirect fingerprint --merge");
    assert_contains(said, "1 host   NCCL 2.21.5");
    assert_contains(said, "1 host   NCCL 2.32.3");
    write_file(text("%s/lines", scene.root), text("2.28.9 aa /\033[31m n\x9b\n2.28.9 aa /x %070000d\n", 1));
    said = scene_says(&scene, 2, "nccl-redirect fingerprint --merge lines");
    assert_contains(said, "/\\x1b[31m");
    assert_contains(said, "n\\x9b");
    assert_lacks(said, "\033");
    assert_contains(said, "not a line of fingerprint: \"2.28.9 aa /x 000");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sh_is_for_eval),
        cmocka_unit_test(launchers_get_their_form),
        cmocka_unit_test(words_and_images_get_no_lib),
        cmocka_unit_test(json_forms_are_whole),
        cmocka_unit_test(k8s_is_yaml),
        cmocka_unit_test(a_wrong_value_is_refused),
        cmocka_unit_test(a_fingerprint_is_one_line),
        cmocka_unit_test(sums_are_those_of_sha256sum),
        cmocka_unit_test(lines_come_as_launchers_hand_them_over),
        cmocka_unit_test(hosts_are_compared),
    };
    return cmocka_run_group_tests(tests, make_scenes, NULL);
}
