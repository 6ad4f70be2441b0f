/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl-redirect ps: the running processes of a job, and the one that is at odds.
 * RUN ALONE: it looks at all processes of the machine, other tests' too.
 */
#include "scene.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Processes of others on this machine may have findings of their own. */
#define ANY (-1)

static struct scene scene;

static int make_scenes(void **state) {
    (void)state;
    scene = scene_make("healthy");
    /* ps reads the real /proc here, and the processes have nothing preloaded but the shim. */
    scene_set(&scene, "LD_PRELOAD=");
    scene_set(&scene, text("LD_LIBRARY_PATH=%s/nccl/lib:%s/driver", scene.root, scene.root));
    copy_file(program("ps_process"), text("%s/python/bin/python3.11", scene.root), -1);
    return 0;
}

/*
 * Start commands in the background, wait until WANTED processes are ready, ask, and end them. PIDS are those of the
 * commands.
 */
static const char *asked(int status, const char *commands, const char *question) {
    const char *script = text("rm -f ready; %s\n"
                              "i=0; while [ \"$(cat ready 2>/dev/null | wc -l)\" -lt $WANTED ] && "
                              "[ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done\n"
                              "%s; status=$?; rm -f ready; kill $PIDS; wait; exit $status",
                              commands, question);
    write_file(text("%s/script", scene.root), script);
    const char *line = "PATH=$PATH:/usr/bin:/bin sh script 2>/dev/null";
    return status == ANY ? scene_run(&scene, line).out : scene_says(&scene, status, line);
}

static void what_serves_is_read_from_the_maps(void **state) {
    (void)state;
    const char *said = asked(0,
                             "nccl-redirect run -- python a & PIDS=$!; nccl-redirect run --use "
                             "system -- python b & PIDS=\"$PIDS $!\"; WANTED=2",
                             "nccl-redirect ps $PIDS");
    assert_contains(said, "yes         2.21.5");
    assert_contains(said, "yes         2.32.3");
    assert_contains(said, SCENE_NAME "/venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2");
    assert_contains(said, SCENE_NAME "/nccl/lib/libnccl.so.2");
    assert_contains(asked(0, "python a & PIDS=$!; WANTED=1", "nccl-redirect ps $PIDS"), "no          2.32.3");
    assert_contains(asked(0, "nccl-redirect run -- sleep 2 & PIDS=$!; WANTED=0; sleep 0.5", "nccl-redirect ps $PIDS"),
                    "not used yet");
}

static void a_child_that_lost_the_preload_is_found(void **state) {
    (void)state;
    const char *job = "nccl-redirect run -- sh -c 'env -u LD_PRELOAD python lost; :' & PIDS=$!; WANTED=1";
    const char *said = unwrapped(asked(1, job, "nccl-redirect ps"));
    assert_contains(said, "lost 2.32.3");
    assert_contains(said, "uses NCCL without the preload library, which process");
    assert_contains(said, "Fix: pass LD_PRELOAD on");
    said = unwrapped(asked(1, job, "nccl-redirect doctor"));
    assert_contains(said, "FAIL processes process");
    assert_contains(said, "uses NCCL without the preload library");
    assert_contains(
        unwrapped(asked(1, "nccl-redirect run -- sh -c 'env -i /bin/sleep 2; :' & PIDS=$!; WANTED=0; sleep 0.5",
                        "nccl-redirect ps")),
        "has lost the preload library, which process");
}

/* As workers of vLLM and Ray, and whatever is started with env -i and the variable. */
static void a_variable_without_the_preload_is_found(void **state) {
    (void)state;
    const char *job = "NCCL_REDIRECT=system python alone & PIDS=$!; WANTED=1";
    const char *said = unwrapped(asked(1, job, "nccl-redirect ps $PIDS"));
    assert_contains(said,
                    "although NCCL_REDIRECT=system is in its environment: the variable arrived, LD_PRELOAD did not");
    assert_contains(said, "Fix: nccl-redirect python --enable ");
    assert_lacks(asked(0, "python alone & PIDS=$!; WANTED=1", "nccl-redirect ps $PIDS"), "NCCL_REDIRECT");
}

/* Who dropped it stands between the two: a program of that name is enough. */
static void the_one_who_dropped_it_is_named(void **state) {
    (void)state;
    const char *source = text("%s/sudo.c", scene.root), *sudo = text("%s/bin/sudo", scene.root);
    write_file(source,
               "#include <stdlib.h>\n#include <sys/wait.h>\n#include <unistd.h>\n"
               "int main(int c, char **v) { if (fork() == 0) { unsetenv(\"LD_PRELOAD\"); execvp(v[1], v + 1); }\n"
               "(void)c; wait(0); return 0; }\n");
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/gcc", source, "-o", sudo));
    assert_int_equal(result.status, 0);
    const char *said = unwrapped(
        asked(1, "nccl-redirect run -- sudo python lost 2>/dev/null & PIDS=$!; WANTED=1", "nccl-redirect ps"));
    assert_contains(said, "LD_PRELOAD is not in its environment: sudo drops LD_PRELOAD, with -E too (process ");
    assert_contains(said, "Fix: put nccl-redirect run behind it: sudo nccl-redirect run -- CMD");
    result_free(&result);
}

/* The library is where LD_PRELOAD says, but not in the root folder of the process. */
static void a_folder_that_is_not_mounted_is_told(void **state) {
    (void)state;
    if (geteuid() != 0 || access("/usr/bin/unshare", X_OK) != 0) {
        print_message("skipped: needs root and unshare(1)\n");
        skip();
    }
    const char *job =
        text("(nccl-redirect run -- sleep 3 & exec /usr/bin/unshare -m /bin/sh -c '/bin/mount -t tmpfs none %s/lib && "
             "cd /tmp && LD_PRELOAD=%s/lib/nccl-redirect/libnccl_redirect.so exec %s/venv/bin/python a' 2>/dev/null) "
             "& PIDS=$!; WANTED=0; sleep 1",
             scene.root, scene.root, scene.root);
    scene_says(&scene, 0, "/bin/rm -f /tmp/ready");
    const char *said = unwrapped(asked(ANY, job, "nccl-redirect ps --all; /bin/rm -f /tmp/ready"));
    assert_contains(said, "its LD_PRELOAD names " SCENE_NAME
                          "/lib/nccl-redirect/libnccl_redirect.so, which does not exist in its "
                          "root folder");
}

static void a_second_nccl_is_found(void **state) {
    (void)state;
    const char *job = "nccl-redirect run -- python both $PWD/nccl/lib & PIDS=$!; WANTED=1";
    const char *said = unwrapped(asked(1, job, "nccl-redirect ps $PIDS"));
    assert_contains(said, "uses 2 NCCLs: 2.32.3");
    assert_contains(said, SCENE_NAME "/nccl/lib/libnccl.so.2");
    assert_contains(said, SCENE_NAME "/venv/lib");
}

static void ranks_with_different_nccls_are_a_finding(void **state) {
    (void)state;
    const char *job = "nccl-redirect run -- sh -c 'NCCL_REDIRECT=torch python a & "
                      "NCCL_REDIRECT=system python b & wait' & PIDS=$!; WANTED=2";
    const char *said = unwrapped(asked(1, job, "nccl-redirect doctor"));
    assert_contains(said, "FAIL processes process");
    assert_contains(said, "ranks of one launcher (process");
    assert_contains(said, "2.21.5");
    assert_contains(said, "2.32.3");
    job = "nccl-redirect run -- sh -c 'python a & python b & wait' & PIDS=$!; WANTED=2";
    assert_lacks(unwrapped(asked(ANY, job, "nccl-redirect doctor")), "ranks of one launcher");
    assert_contains(unwrapped(asked(0, job, "nccl-redirect ps $(cat ready)")), "yes 2.21.5");
}

static void a_process_is_explained(void **state) {
    (void)state;
    const char *job = "nccl-redirect run -- python a & PIDS=$!; WANTED=1";
    const char *said = unwrapped(asked(0, job, "nccl-redirect explain --pid $PIDS"));
    assert_contains(said, "(python a): NCCL 2.21.5 is active file " SCENE_NAME "/venv/lib");
    assert_contains(said, "decided by the default if restarted gets NCCL 2.21.5, " SCENE_NAME "/venv/lib");
    assert_contains(said, "(torch, from the running Python), the same");
    job = "NCCL_HOME=$PWD/nccl nccl-redirect run --use system -- python b & PIDS=$!; WANTED=1";
    said = unwrapped(asked(0, job, "NCCL_HOME=/nowhere nccl-redirect explain --pid $PIDS"));
    assert_contains(said, "NCCL 2.32.3 is active");
    assert_contains(said, "decided by NCCL_REDIRECT=system if restarted gets NCCL 2.32.3");
    /* What it uses is not what it would get today. */
    job = "nccl-redirect run -- python a & PIDS=$!; WANTED=1";
    const char *wheel = "venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2";
    said = unwrapped(asked(ANY, job,
                           text("ln %s kept; rm %s; nccl-redirect explain --pid $PIDS; "
                                "nccl-redirect explain --json --pid $PIDS; mv kept %s",
                                wheel, wheel, wheel)));
    assert_contains(said, "was replaced or removed since it started");
    assert_contains(said, "NCCL 2.21.5 is active");
    assert_lacks(said, ", the same");
    assert_contains(said, "\"same\": false");
    assert_contains(said, "\"pid\": ");
    assert_contains(scene_says(&scene, 2, "nccl-redirect explain --pid x"), "--pid=x is not a process id");
    assert_contains(scene_says(&scene, 1, "nccl-redirect explain --pid 999999999"), "there is no process 999999999");
}

static void wrong_ids_are_told(void **state) {
    (void)state;
    assert_contains(scene_says(&scene, 2, "nccl-redirect ps 0"), "\"0\" is not a process id");
    assert_contains(scene_says(&scene, 1, "nccl-redirect ps no-such-command"),
                    "no process has \"no-such-command\" in its command line");
    assert_contains(scene_says(&scene, 1, "nccl-redirect ps 999999999"), "there is no process 999999999");
    assert_contains(scene_says(&scene, 0, "nccl-redirect ps $$"), "no          -");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_serves_is_read_from_the_maps),
        cmocka_unit_test(a_child_that_lost_the_preload_is_found),
        cmocka_unit_test(a_variable_without_the_preload_is_found),
        cmocka_unit_test(the_one_who_dropped_it_is_named),
        cmocka_unit_test(a_folder_that_is_not_mounted_is_told),
        cmocka_unit_test(a_second_nccl_is_found),
        cmocka_unit_test(ranks_with_different_nccls_are_a_finding),
        cmocka_unit_test(a_process_is_explained),
        cmocka_unit_test(wrong_ids_are_told),
    };
    return cmocka_run_group_tests(tests, make_scenes, NULL);
}
