/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in the end behind commands that start others, how far that can be known, and where LD_PRELOAD is lost on the
 * way: run, explain and doctor say the same.
 */
#include "scene.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct scene scene, none;

/* A command that is there; what it does in truth does not matter here. */
static void place_command(const char *path) {
    write_file(text("%s/%s", scene.root, path), "#!/bin/sh\nexit 3\n");
    scene_says(&scene, 0, text("/bin/chmod +x %s", path));
}

static void place_python(const char *environment) {
    make_link(text("%s/python/bin/python3.11", scene.root), text("%s/%s/bin/python", scene.root, environment));
    make_link("python", text("%s/%s/bin/python3", scene.root, environment));
    write_file(text("%s/%s/pyvenv.cfg", scene.root, environment), text("home = %s/python/bin\n", scene.root));
}

static int make_scenes(void **state) {
    static const char *const commands[] = {"uv",     "poetry",  "pdm",     "conda", "mamba",
                                           "pixi",   "srun",    "mpirun",  "sudo",  "docker",
                                           "sbatch", "numactl", "timeout", "ssh",   "systemd-run"};
    (void)state;
    scene = scene_make("healthy");
    none = scene_make("no-torch");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        place_command(text("bin/%s", commands[i]));
    for (int i = 0; i < 2; i++)
        make_link("/bin/sh", text("%s/tools/bash", i ? none.root : scene.root));
    write_file(text("%s/project/pyproject.toml", scene.root), "[project]\n");
    write_file(text("%s/project/deep/x.py", scene.root), "");
    place_python("project/.venv");
    write_file(text("%s/pixi/pixi.toml", scene.root), "");
    place_python("pixi/.pixi/envs/default");
    place_python("conda/envs/job");
    place_command("conda/bin/conda");
    place_command("project/.venv/bin/tool");
    write_file(text("%s/project/.venv/bin/script", scene.root), text("#!%s/project/.venv/bin/python\n", scene.root));
    scene_says(&scene, 0, "/bin/chmod +x project/.venv/bin/script");
    scene_set(&scene, text("CONDA_EXE=%s/conda/bin/conda", scene.root));
    return 0;
}

/* A folder with the test NCCL of a version. */
static const char *folder_with_copy(const char *variant) {
    const char *folder = text("%s/%s", scene.root, variant);
    copy_file(hostmem(variant), text("%s/libnccl.so.2", folder), -1);
    return folder;
}

static const char *string_of(const cJSON *json, const char *key) {
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItem(json, key));
    return value ? value : "null";
}

static cJSON *explained(const char *folder, const char *command) {
    struct result result = scene_run(&scene, text("cd %s && nccl-redirect explain --json -- %s", folder, command));
    cJSON *json = cJSON_Parse(result.out);
    if (!json)
        fail_msg("%s: no JSON: %s%s", command, result.out, result.err);
    return json;
}

/* ---- what runs in the end ---- */

static void known_commands_are_looked_through(void **state) {
    (void)state;
    static const struct {
        const char *folder, *command, *started_as; /* below the scene */
    } cases[] = {
        {".", "python x.py", "venv/bin/python"},
        {"project", "uv run python x.py", "project/.venv/bin/python"},
        {"project/deep", "uv run x.py", "project/.venv/bin/python"},
        {"project/deep", "uv run -- python -u x.py", "project/.venv/bin/python"},
        {"project", "uv run --frozen --env-file .env -m train", "project/.venv/bin/python"},
        {"project", "uv run script", "project/.venv/bin/python"},
        {".", "uv run --project project python", "project/.venv/bin/python"},
        {"project", "uv run srun -n2 python x.py", "venv/bin/python"},
        {"project", "poetry run python x.py", "project/.venv/bin/python"},
        {".", "poetry -C project run python", "project/.venv/bin/python"},
        {"project/deep", "pdm run python", "project/.venv/bin/python"},
        {"pixi", "pixi run python x.py", "pixi/.pixi/envs/default/bin/python"},
        {".", "conda run -n job python x.py", "conda/envs/job/bin/python"},
        {".", "conda run --no-capture-output -p $PWD/conda/envs/job python x.py", "conda/envs/job/bin/python"},
        {".", "mamba run --name=job python", "conda/envs/job/bin/python"},
        {".", "srun -J test -n 2 python x.py", "venv/bin/python"},
        {".", "srun -N2 --export=ALL,A=b python x.py", "venv/bin/python"},
        {".", "mpirun -np 2 -x A=b -H a,b python x.py", "venv/bin/python"},
        {".", "timeout -k 5 60 numactl -N 0 python x.py", "venv/bin/python"},
        {".", "env -u A -C / B=c python x.py", "venv/bin/python"},
        {".", "sh -c 'echo start; exec python x.py >log 2>&1'", "venv/bin/python"},
        {".", "bash -lc \"cd /tmp && A=b python x.py\"", "venv/bin/python"},
        {".", "sh -c 'for i in 1 2; do python x.py $i & done; wait'", "venv/bin/python"},
        {".", "sh -c 'if [ -e x ]; then python x.py; fi'", "venv/bin/python"},
        {".", "bash job.sh", "venv/bin/python"},
        {".", "./job.sh", "venv/bin/python"},
        {".", "sbatch -N 2 job.sh", "venv/bin/python"},
        {".", "nccl-redirect run --use system -- python x.py", "venv/bin/python"},
    };
    write_file(text("%s/job.sh", scene.root),
               "#!/bin/bash\n#SBATCH -N2\nset -e\n# python3 of nobody\ncat <<END\n"
               "project/.venv/bin/python\nEND\nsrun -n \"$N\" \\\n    python x.py \"$@\"\n");
    scene_says(&scene, 0, "/bin/chmod +x job.sh");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = explained(cases[i].folder, cases[i].command);
        const char *wanted =
            strcmp(cases[i].started_as, "null") == 0 ? "null" : text(SCENE_NAME "/%s", cases[i].started_as);
        if (strcmp(string_of(json, "started_as"), wanted) != 0)
            fail_msg("%s: %s, not %s (%s)", cases[i].command, string_of(json, "started_as"), wanted,
                     string_of(json, "unknown"));
        cJSON_Delete(json);
    }
}

static void what_cannot_be_known_is_said(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"uv run --with numpy python x.py", "uv makes an environment for this run"},
        {"poetry run python x.py", "where its environment is cannot be known"},
        {"conda run -n nothere python x.py", "is not there yet"},
        {"pixi run train", "where its environment is cannot be known"},
        {"sh -c 'module load nccl; python x.py'", "`module` there changes its environment"},
        {"sh -c '. ./setup.sh; python x.py'", "`.` there changes its environment"},
        {"sh -c 'export LD_LIBRARY_PATH=/x; python x.py'", "it sets LD_LIBRARY_PATH"},
        {"sh -c 'PATH=/x:$PATH; python x.py'", "it sets PATH"},
        {"sh -c '$PYTHON x.py'", "it starts $PYTHON"},
        {"sh -c 'eval \"$1\"' sh x", "`eval` there changes its environment"},
        {"sh -c ./unknown", "it is not known what ./unknown"},
        {"docker run image python x.py", "docker starts it elsewhere"},
        {"ssh node1 python x.py", "ssh starts it elsewhere"},
        {"sbatch job.sh", "sbatch starts it on another host"},
        {"true", "neither a Python nor linked with NCCL"},
        {"sh", "what is typed into a shell cannot be known"},
    };
    write_file(text("%s/job.sh", scene.root), "#!/bin/bash\npython x.py\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = explained(".", cases[i][0]);
        assert_contains(text("%s: %s", cases[i][0], string_of(json, "unknown")), cases[i][1]);
        cJSON_Delete(json);
    }
    assert_string_equal(string_of(explained(".", "sh -c 'echo x; python x.py'"), "unknown"), "null");
}

/* What the tool does not know is no reason to refuse; what it knows is. */
static void run_refuses_only_what_it_knows(void **state) {
    (void)state;
    static const char *const started[] = {"uv run python x.py", "bash -c 'module load x; exit 3'",
                                          "./wrapper",          "pixi run x",
                                          "conda run -n x y",   "sbatch job.sh"};
    static const char *const refused[] = {"python3 x.py", "sh -c 'python3 x.py'", "env A=b python3 x.py"};
    write_file(text("%s/wrapper", none.root), "#!/bin/bash\n. ./nothere || exit 3\n");
    write_file(text("%s/job.sh", none.root), "python x.py\n");
    for (const char *const *name = CMD("uv", "pixi", "conda", "sbatch"); *name; name++)
        write_file(text("%s/bin/%s", none.root, *name), "#!/bin/sh\nexit 3\n");
    scene_says(&none, 0, "/bin/chmod +x wrapper bin/uv bin/pixi bin/conda bin/sbatch");
    for (size_t i = 0; i < sizeof started / sizeof *started; i++) {
        assert_contains(scene_says(&none, 3, text("nccl-redirect run --use torch --strict -- %s", started[i])),
                        "is started all the same");
        assert_contains(scene_says(&none, 78, text("nccl-redirect run --use /nowhere/libnccl.so.2 -- %s", started[i])),
                        "does not exist");
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_contains(scene_says(&none, 78, text("nccl-redirect run --use torch --strict -- %s", refused[i])),
                        "is not started. Fix: ");
}

static void a_range_that_nothing_meets_is_refused(void **state) {
    (void)state;
    for (const char *const *command = CMD("python train.py", "true", "sh -c 'module load x'"); *command; command++) {
        const char *said = scene_says(&scene, 78, text("nccl-redirect run --require '>=9' -- %s", *command));
        assert_contains(said, "outside NCCL_REDIRECT_REQUIRE=>=9");
        assert_contains(said, "is not started. Fix: ");
    }
    assert_contains(scene_says(&none, 78, "nccl-redirect run --require '>=2' -- python3 x.py"), "auto finds no NCCL");
    assert_contains(scene_says(&scene, 0, "nccl-redirect run --require '>=2' -- python train.py"),
                    "train.py: NCCL 2.21.5");
}

/* A version means the library of that version among those that list shows. */
static void a_version_can_be_chosen(void **state) {
    (void)state;
    assert_contains(scene_says(&scene, 0, "nccl-redirect run --use 2.32.3 -- python train.py"),
                    "train.py: NCCL 2.32.3");
    assert_contains(scene_says(&scene, 0, "nccl-redirect run --use 2.21 -- python train.py"), "train.py: NCCL 2.21.5");
    assert_contains(scene_says(&scene, 0, "nccl-redirect env --use 2.32.3"),
                    "export NCCL_REDIRECT=" SCENE_NAME "/nccl/lib/libnccl.so.2");
    assert_contains(scene_says(&scene, 0, "nccl-redirect fingerprint --use 2.32.3"), "2.32.3 ");
    const char *said = scene_says(&scene, 78, "nccl-redirect run --use 2.28.9 -- python train.py");
    assert_contains(said, "no NCCL of that version was found here; found: 2.21.5 " SCENE_NAME "/venv");
    assert_contains(said, ", 2.32.3 " SCENE_NAME "/nccl/lib/libnccl.so.2 (build 855c15bc)");
    assert_contains(scene_says(&none, 78, "nccl-redirect run --use 2.28.9 -- python3 train.py"), "found: none.");
    scene_says(&scene, 78, "nccl-redirect explain --use 2.3 -- python train.py");
    assert_contains(scene_says(&scene, 78, "nccl-redirect run --use 2 -- python train.py"), "is not a backend");

    /* Two builds of one version are two; two files of one build are one. */
    const char *folder = folder_with_copy("newest");
    said = scene_says(
        &scene, 78,
        text("LD_LIBRARY_PATH=$LD_LIBRARY_PATH:%s nccl-redirect run --use 2.32.3 -- python train.py", folder));
    assert_contains(said, "--use 2.32.3 means more than one NCCL here: 2.32.3 ");
    copy_file(real_nccl("cu12-2.32.3"), text("%s/again/libnccl.so.2", scene.root), -1);
    scene_says(&scene, 0,
               "LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$PWD/again nccl-redirect run --use 2.32.3 -- python train.py");
    unlink(text("%s/again/libnccl.so.2", scene.root));
}

/* ---- where LD_PRELOAD is lost ---- */

static const struct {
    const char *command, *preload, *words;
} losses[] = {
    {"python x.py", "kept", NULL},
    {"env A=b python x.py", "kept", NULL},
    {"env -i python x.py", "lost", "env -i clears the environment"},
    {"env -iv PATH=/x python x.py", "lost", "env -i clears the environment"},
    {"env - python x.py", "lost", "env -i clears the environment"},
    {"env -u LD_PRELOAD python x.py", "lost", "env -u LD_PRELOAD removes it"},
    {"env --unset=LD_PRELOAD python x.py", "lost", "env -u LD_PRELOAD removes it"},
    {"env -u OTHER python x.py", "kept", NULL},
    {"env LD_PRELOAD=/other.so python x.py", "lost", "env sets LD_PRELOAD to other libraries"},
    {"env LD_PRELOAD=/other.so:/x/libnccl_redirect.so python x.py", "kept", NULL},
    {"sudo python x.py", "lost", "sudo drops LD_PRELOAD"},
    {"sudo -E -u you python x.py", "lost", "sudo drops LD_PRELOAD, with -E too"},
    {"sudo LD_PRELOAD=/x/libnccl_redirect.so python x.py", "kept", NULL},
    {"sudo --preserve-env=LD_PRELOAD,NCCL_REDIRECT python x.py", "kept", NULL},
    {"sudo nccl-redirect run -- python x.py", "kept", NULL},
    {"srun python x.py", "kept", NULL},
    {"srun --export=ALL,A=b python x.py", "kept", NULL},
    {"srun --export=NONE python x.py", "lost", "srun --export=NAME passes only what it names"},
    {"srun --export NONE python x.py", "lost", "srun --export=NAME passes only what it names"},
    {"srun --export=PATH python x.py", "lost", "srun --export=NAME passes only what it names"},
    {"srun --export=PATH,LD_PRELOAD python x.py", "kept", NULL},
    {"env SLURM_EXPORT_ENV=NONE srun python x.py", "lost", "srun --export=NAME passes only what it names"},
    {"sbatch --export=NONE job.sh", "lost", "sbatch --export=NAME passes only what it names"},
    {"mpirun -np 2 python x.py", "kept", NULL},
    {"mpirun -H a,b python x.py", "may be lost", "only with -x LD_PRELOAD"},
    {"mpirun -H a,b -x LD_PRELOAD python x.py", "kept", NULL},
    {"docker run image python x.py", "lost", "docker starts the program elsewhere"},
    {"ssh node1 python x.py", "lost", "ssh starts the program elsewhere"},
    {"ssh node1 nccl-redirect run -- python x.py", "kept", NULL},
    {"systemd-run python x.py", "lost", "with the environment of systemd"},
    {"systemd-run --scope python x.py", "kept", NULL},
    {"sh -c 'env -i python x.py'", "lost", "env -i clears the environment"},
    {"timeout 5 srun -n2 env -i python x.py", "lost", "env -i clears the environment"},
    {"./alone.static", "lost", "is linked statically"},
};

static bool make_static(void) {
    const char *source = text("%s/alone.c", scene.root), *program = text("%s/alone.static", scene.root);
    write_file(source, "int main(void) { return 3; }\n");
    return run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/gcc", "-static", source, "-o", program)).status == 0;
}

static void a_lost_preload_is_told_alike(void **state) {
    (void)state;
    bool has_static = make_static();
    write_file(text("%s/job.sh", scene.root), "python x.py\n");
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        const char *command = losses[i].command, *words = losses[i].words;
        bool lost = strcmp(losses[i].preload, "lost") == 0;
        if (!has_static && strstr(command, "static"))
            continue;
        cJSON *json = explained(".", command);
        if (strcmp(string_of(json, "preload"), losses[i].preload) != 0)
            fail_msg("%s: %s", command, string_of(json, "preload"));
        cJSON_Delete(json);
        struct result result = scene_run(&scene, text("nccl-redirect explain -- %s", command));
        if (words)
            assert_contains(unwrapped(result.out), text("%s: ", lost ? "preload lost" : "warning"));
        if (words)
            assert_contains(unwrapped(result.out), words);
        if (lost)
            assert_contains(scene_says(&scene, 78, text("nccl-redirect run --strict -- %s", command)), words);
    }
    assert_contains(scene_says(&scene, 3, "nccl-redirect run -- sudo python x.py"), "warning: sudo drops LD_PRELOAD");
    const char *said = unwrapped(scene_run(&scene, "nccl-redirect doctor -- sudo -E python x.py").out);
    assert_contains(said, "FAIL launcher sudo drops LD_PRELOAD, with -E too");
    assert_lacks(said, "are redirected");
    assert_lacks(unwrapped(scene_run(&scene, "nccl-redirect doctor -- docker run image x").out), "is redirected");
}

/* su is told apart by who runs it: it is set-uid, and for root the loader leaves the environment alone. */
static void su_of_root_keeps_it(void **state) {
    (void)state;
    place_command("bin/su");
    const char *wanted = geteuid() == 0 ? "kept" : "lost";
    assert_string_equal(string_of(explained(".", "su -c 'python x.py' you"), "preload"), wanted);
    assert_string_equal(string_of(explained(".", "su -c 'python x.py' you"), "started_as"),
                        SCENE_NAME "/venv/bin/python");
    assert_string_equal(string_of(explained(".", "su - you -c 'python x.py'"), "preload"), "lost");
    assert_string_equal(string_of(explained(".", "su --login you -c 'python x.py'"), "preload"), "lost");
}

/* Whichever of standard input, output and error are closed, the decision is the same. */
static void closed_descriptors_change_nothing(void **state) {
    (void)state;
    static const char *const closed[] = {"<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        unlink(text("%s/ran", scene.root));
        scene_says(&scene, 0, text("nccl-redirect run --use system -- sh -c 'echo ran >ran' %s", closed[i]));
        assert_int_equal(access(text("%s/ran", scene.root), F_OK), 0);
        scene_says(&scene, 78, text("nccl-redirect run --use system --require '>=9' -- sh -c : %s", closed[i]));
    }
    /* And the command finds them closed. */
    scene_says(&scene, 0, "nccl-redirect run --use system -- sh -c '[ ! -e /proc/$$/fd/0 ]' <&-");
    scene_says(&scene, 1, "nccl-redirect run --use system -- sh -c '[ ! -e /proc/$$/fd/0 ]' </dev/null");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_commands_are_looked_through),
        cmocka_unit_test(what_cannot_be_known_is_said),
        cmocka_unit_test(run_refuses_only_what_it_knows),
        cmocka_unit_test(a_range_that_nothing_meets_is_refused),
        cmocka_unit_test(a_version_can_be_chosen),
        cmocka_unit_test(a_lost_preload_is_told_alike),
        cmocka_unit_test(su_of_root_keeps_it),
        cmocka_unit_test(closed_descriptors_change_nothing),
    };
    return cmocka_run_group_tests(tests, make_scenes, NULL);
}
