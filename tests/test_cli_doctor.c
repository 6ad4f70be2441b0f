/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect doctor: each thing that can be wrong is found, said in words, and decides the exit code. */
#include "scene.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct scene healthy;

static int make_scenes(void **state) {
    (void)state;
    healthy = scene_make("healthy");
    return 0;
}

static const char *doctor(int status, const char *front, const char *behind) {
    return scene_says(&healthy, status, text("%s nccl-redirect doctor %s", front, behind));
}

#define assert_finds(status, front, behind, part) assert_contains(unwrapped(doctor(status, front, behind)), part)

static void a_healthy_environment_is_well(void **state) {
    (void)state;
    const char *said = doctor(0, "", "");
    assert_contains(said, "result: all is well (0 FAIL, 0 warnings");
    assert_lacks(said, "warning ");
    assert_lacks(said, "to do");
}

static void variables_are_read_as_the_shim_reads_them(void **state) {
    (void)state;
    assert_finds(1, "NCCL_REDIRECT=sytem", "", "FAIL variables NCCL_REDIRECT=\"sytem\" is not a backend");
    assert_finds(1, "NCCL_REDIRECT_REQUIRE=2.x", "",
                 "FAIL variables NCCL_REDIRECT_REQUIRE=\"2.x\" is not a version range");
    assert_finds(0, "NCCL_REDIRECT_REQIURE=1", "", "warning variables unknown variable NCCL_REDIRECT_REQIURE ignored");
    assert_finds(0, "NCCL_REDIRECT_REQIURE=1", "", "did you mean NCCL_REDIRECT_REQUIRE?");
    assert_finds(0, "NCCL_REDIRECT=torch VLLM_USE_PYTORCH_NCCL=0", "", "VLLM_USE_PYTORCH_NCCL=0 has no effect");
    assert_finds(0, "NCCL_REDIRECT=system", "", "warning LD_PRELOAD does not list the preload library, but a variable");
    assert_finds(0, "NCCL_REDIRECT_LOG_FILE=/nowhere/log", "",
                 "warning variables NCCL_REDIRECT_LOG_FILE=/nowhere/log: its folder");
    assert_finds(1, "NCCL_REDIRECT_TORCH=/nowhere", "", "FAIL torch NCCL_REDIRECT_TORCH=/nowhere contains no torch");
    assert_finds(1, "NCCL_REDIRECT=/nowhere/libnccl.so.2", "",
                 "FAIL choice cannot satisfy NCCL_REDIRECT=/nowhere/libnccl.so.2");
    assert_finds(1, "", "--use torch --strict --require '>=2.27'", "FAIL choice cannot satisfy NCCL_REDIRECT=torch");
    assert_finds(0, "", "--use torch --require '>=2.27'",
                 "warning choice NCCL_REDIRECT=torch asks for torch's NCCL but gets the system's");
}

static void the_preload_list_is_checked(void **state) {
    (void)state;
    copy_file(shim(), text("%s/copy.so", healthy.root), -1);
    const char *ours = "$PWD/lib/nccl-redirect/libnccl_redirect.so";
    assert_finds(0, text("LD_PRELOAD=$LD_PRELOAD:%s", ours), "",
                 "ok LD_PRELOAD lists the preload library once, and no other NCCL");
    assert_finds(0, text("LD_PRELOAD=$LD_PRELOAD:%s:%s", ours, ours), "",
                 "warning LD_PRELOAD lists the preload library more than once");
    assert_finds(0, "LD_PRELOAD=$LD_PRELOAD:$PWD/copy.so", "",
                 "warning LD_PRELOAD lists another copy of the preload library");
    assert_finds(0, "LD_PRELOAD=$LD_PRELOAD:/nowhere/lib.so", "",
                 "warning LD_PRELOAD lists /nowhere/lib.so, which does not exist");
    assert_finds(1, "LD_PRELOAD=$LD_PRELOAD:$PWD/nccl/lib/libnccl.so.2", "",
                 "FAIL LD_PRELOAD lists an NCCL itself, " SCENE_NAME "/nccl/lib/libnccl.so.2");
}

static void a_preload_that_does_not_load_is_a_failure(void **state) {
    (void)state;
    struct scene broken = scene_make("healthy");
    const char *file = text("%s/lib/nccl-redirect/nccl_redirect.so", broken.root);
    copy_file(shim(), file, 4096);
    assert_contains(unwrapped(scene_says(&broken, 1, "nccl-redirect doctor")),
                    "is not the preload library (an interrupted copy?)");
    unlink(file);
    assert_contains(unwrapped(scene_says(&broken, 1, "nccl-redirect doctor")),
                    "FAIL preload libnccl_redirect.so is neither beside");
    /* It looks well, and the dynamic loader refuses it. */
    write_file(text("%s/shim.c", broken.root), "const char nccl_redirect_version[] = \"x\";\n");
    const char *build = "PATH=/usr/bin:/bin; LD_PRELOAD=; gcc -shared -fPIC -x c /dev/null -o libgone.so && "
                        "gcc -shared -fPIC shim.c -o lib/nccl-redirect/nccl_redirect.so -Wl,--no-as-needed "
                        "./libgone.so && rm libgone.so";
    scene_says(&broken, 0, build);
    const char *said = unwrapped(scene_says(&broken, 1, "nccl-redirect doctor"));
    assert_contains(said, "FAIL preload " SCENE_NAME "/lib/nccl-redirect/libnccl_redirect.so does not load here");
    assert_contains(said, "libgone.so");
}

static void torch_without_gpu_or_nccl_is_told(void **state) {
    (void)state;
    struct scene cpu = scene_make("healthy");
    const char *file = text("%s/venv/lib/python3.11/site-packages/torch/lib/libtorch_cuda.so", cpu.root);
    copy_file(library("torch_stand_in"), file, -1);
    assert_contains(unwrapped(scene_says(&cpu, 0, "nccl-redirect doctor")), "is built for CUDA without NCCL");
    unlink(file);
    assert_contains(unwrapped(scene_says(&cpu, 0, "nccl-redirect doctor")), "has no GPU library (a CPU build)");
    write_file(file, "not a library\n");
    assert_contains(unwrapped(scene_says(&cpu, 1, "nccl-redirect doctor")), "libtorch_cuda.so is not a library");
}

static void the_driver_must_be_new_enough(void **state) {
    (void)state;
    struct scene scene = scene_make("healthy");
    const char *source = text("%s/driver.c", scene.root), *driver = text("%s/driver/libcuda.so.1", scene.root);
    write_file(source, "int cuDriverGetVersion(int *version) { *version = 11080; return 0; }\n");
    struct result result =
        run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/gcc", "-w", "-shared", "-fPIC", source, "-o", driver));
    assert_int_equal(result.status, 0);
    const char *said = unwrapped(scene_says(&scene, 1, "nccl-redirect doctor"));
    assert_contains(said, "FAIL GPU driver the driver is for CUDA up to 11.8, the chosen NCCL is "
                          "built for CUDA 12.4");
    result_free(&result);
}

static void a_net_plugin_must_fit(void **state) {
    (void)state;
    struct scene scene = scene_make("healthy");
    const char *source = text("%s/net.c", scene.root);
    static const struct {
        const char *symbol, *words;
        int status;
    } cases[] = {{"ncclNetPlugin_v8", "fits the chosen NCCL (ncclNetPlugin_v8)", 0},
                 {"ncclNetPlugin_v11", "offers interface v11, the chosen NCCL 2.21.5 knows v8", 0}};
    for (size_t i = 0; i < 2; i++) {
        write_file(source, text("const long %s[8] = {1};\n", cases[i].symbol));
        struct result result =
            run(WITHOUT_SHIM, NO_ENV,
                CMD("/usr/bin/gcc", "-shared", "-fPIC", source, "-o", text("%s/driver/libnccl-net.so", scene.root)));
        assert_int_equal(result.status, 0);
        assert_contains(unwrapped(scene_says(&scene, cases[i].status, "nccl-redirect doctor")), cases[i].words);
        result_free(&result);
    }
    assert_finds(0, "NCCL_NET_PLUGIN=ofi", "", "warning net plugin NCCL_NET_PLUGIN=ofi is not found");
    assert_finds(0, "NCCL_NET_PLUGIN=none", "", "ok net plugin NCCL_NET_PLUGIN=none");
    assert_finds(0, "", "", "ok net plugin none installed");
}

static void build_library(const char *source, const char *path, const char *option) {
    const char *file = text("%s.c", path);
    write_file(file, source);
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/gcc", "-shared", "-fPIC", file, "-o", path, option));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* As NCCL opens them: what cannot load is told with the loader's words, a list is a list, each kind has its variable. */
static void plugins_are_opened(void **state) {
    (void)state;
    struct scene scene = scene_make("healthy");
    const char *root = scene.root;
    build_library("int needed(void) { return 0; }\n", text("%s/lost/libnofabric.so.1", root),
                  "-Wl,-soname,libnofabric.so.1");
    build_library("int needed(void); const long ncclNetPlugin_v8[8] = {1}; int use(void) { return needed(); }\n",
                  text("%s/driver/libnccl-net-ofi.so", root), text("%s/lost/libnofabric.so.1", root));
    build_library("const long ncclNetPlugin_v8[8] = {1};\n", text("%s/driver/libnccl-net-good.so", root), "-O1");
    build_library("const long ncclTunerPlugin_v2[8] = {1};\n", text("%s/driver/tuner.so", root), "-O1");
    build_library("const long ncclProfiler_v4[8] = {1};\n", text("%s/driver/libnccl-profiler-x.so", root), "-O1");
    static const struct {
        const char *environment, *words;
        int status;
    } cases[] = {
        {"NCCL_NET_PLUGIN=ofi", "FAIL net plugin " SCENE_NAME "/driver/libnccl-net-ofi.so does not load", 1},
        {"NCCL_NET_PLUGIN=ofi", "libnofabric.so.1: cannot open shared object file", 1},
        {"NCCL_NET_PLUGIN=good,none", "ok net plugin " SCENE_NAME "/driver/libnccl-net-good.so loads, and fits", 0},
        {"NCCL_NET_PLUGIN=good,ofi", "FAIL net plugin " SCENE_NAME "/driver/libnccl-net-ofi.so does not load", 1},
        {"NCCL_NET_PLUGIN=nowhere,good", "warning net plugin NCCL_NET_PLUGIN=nowhere is not found", 0},
        {"NCCL_TUNER_PLUGIN=$PWD/driver/tuner.so", "ok tuner plugin " SCENE_NAME "/driver/tuner.so loads, and fits", 0},
        {"NCCL_TUNER_PLUGIN=/nowhere/t.so", "warning tuner plugin NCCL_TUNER_PLUGIN=/nowhere/t.so is not found", 0},
        {"NCCL_PROFILER_PLUGIN=nowhere", "warning profiler plugin NCCL_PROFILER_PLUGIN=nowhere is not found", 0},
        {"NCCL_PROFILER_PLUGIN=x", "NCCL 2.21.5 knows no profiler plugins: it is ignored", 0},
        {"NCCL_REDIRECT=system NCCL_PROFILER_PLUGIN=x", "libnccl-profiler-x.so loads, and fits", 0},
        {"NCCL_ENV_PLUGIN=none", "ok env plugin NCCL_ENV_PLUGIN=none", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_contains(
            unwrapped(scene_says(&scene, cases[i].status, text("%s nccl-redirect doctor", cases[i].environment))),
            cases[i].words);
    assert_lacks(unwrapped(scene_says(&scene, 0, "NCCL_NET_PLUGIN=good,none nccl-redirect doctor")), "not found");
}

static void what_stands_in_the_way_is_told(void **state) {
    (void)state;
    const char *root = healthy.root;
    build_library("unsigned la_version(unsigned v) { return v; }\n"
                  "char *la_objsearch(const char *n, unsigned long *c, unsigned f) { return (char *)n; }\n",
                  text("%s/audit.so", root), "-O1");
    build_library("unsigned la_version(unsigned v) { return v; }\n", text("%s/watch.so", root), "-O1");
    assert_finds(0, "LD_AUDIT=$PWD/audit.so", "", "warning LD_AUDIT " SCENE_NAME "/audit.so answers the searches");
    assert_finds(0, "LD_AUDIT=$PWD/watch.so", "",
                 "warning LD_AUDIT " SCENE_NAME "/watch.so watches the dynamic loader");
    assert_lacks(doctor(0, "", ""), "LD_AUDIT");

    build_library("int ncclAllReduce(void) { return 0; }\nint ncclSend(void) { return 0; }\n",
                  text("%s/wrapper.so", root), "-O1");
    const char *library = "$PWD/lib/nccl-redirect/libnccl_redirect.so";
    assert_finds(0, text("LD_PRELOAD=$LD_PRELOAD:%s:$PWD/wrapper.so", library), "",
                 "warning LD_PRELOAD lists " SCENE_NAME "/wrapper.so, which defines 2 of NCCL's functions, behind");
    assert_lacks(doctor(0, text("LD_PRELOAD=$LD_PRELOAD:$PWD/wrapper.so:%s", library), ""), "wrapper.so");

    assert_finds(1, "VLLM_NCCL_SO_PATH=/nowhere/libnccl.so.2", "",
                 "FAIL variables VLLM_NCCL_SO_PATH=/nowhere/libnccl.so.2: that file does not exist");
    assert_finds(1, "SGLANG_NCCL_SO_PATH=$PWD/train.py", "",
                 "FAIL variables SGLANG_NCCL_SO_PATH=" SCENE_NAME "/train.py: that file is");
    assert_finds(1, "VLLM_NCCL_SO_PATH=libnccl.so.99", "",
                 "FAIL variables VLLM_NCCL_SO_PATH=libnccl.so.99 is not found in");
    assert_lacks(doctor(0, "VLLM_NCCL_SO_PATH=$PWD/nccl/lib/libnccl.so.2", ""), "FAIL variables");
}

/* torch's package asks for a version of the wheel; what lies there now may be another. */
static void what_torch_asks_for_is_compared(void **state) {
    (void)state;
    struct scene scene = scene_make("healthy");
    const char *metadata = text("%s/venv/lib/python3.11/site-packages/torch-2.5.1.dist-info/METADATA", scene.root);
    static const char *const lines[] = {"Requires-Dist: nvidia-nccl-cu12==%s ; platform_system == \"Linux\"\n",
                                        "Requires-Dist: nvidia-nccl-cu12 (==%s) ; extra == 'x'\n"};
    for (int i = 0; i < 2; i++) {
        write_file(metadata,
                   text("Name: torch\n%s", text(i ? "Requires-Dist: numpy\nRequires-Dist: nvidia-nccl-cu12 (==%s)\n"
                                                  : "Requires-Dist: nvidia-nccl-cu12==%s; x\n",
                                                "2.20.5")));
        assert_contains(
            unwrapped(scene_says(&scene, 0, "nccl-redirect doctor")),
            "warning torch it was built with and asks for nvidia-nccl-cu12==2.20.5; the file that it would load is "
            "NCCL 2.21.5");
        write_file(metadata, text("Name: torch\n%s", text(lines[i], "2.21.5")));
        assert_lacks(unwrapped(scene_says(&scene, 0, "nccl-redirect doctor")), "asks for");
    }
}

static void methods_say_what_would_happen(void **state) {
    (void)state;
    struct scene none = scene_make("no-torch");
    assert_contains(unwrapped(scene_says(&none, 1, "nccl-redirect doctor")),
                    "use torch finds no NCCL here: --use torch is refused");
    assert_contains(unwrapped(scene_says(&none, 78, "nccl-redirect run --use torch -- python3 x.py")),
                    "is not started");
    const char *with = text("NCCL_HOME=%s/nccl", healthy.root);
    assert_contains(
        unwrapped(scene_says(&none, 0, text("%s nccl-redirect doctor", with))),
        "use torch finds no NCCL here: --use torch uses the system's with a warning, --use torch --strict is refused");
    scene_says(&none, 0, text("%s nccl-redirect run --use torch -- python3 train.py", with));
    scene_says(&none, 78, text("%s nccl-redirect run --use torch --strict -- python3 train.py", with));
}

static void functions_are_emulated_or_refused(void **state) {
    (void)state;
    struct scene scene = scene_make("older-system");
    const char *said = unwrapped(scene_says(&scene, 0, "nccl-redirect doctor --use system"));
    assert_contains(
        said,
        "warning functions torch can call ncclCommSplit (2.18.1), which NCCL 2.14.3 lacks: such a call is refused");
    assert_contains(
        said, "ok functions NCCL 2.14.3 lacks ncclCommRegister (2.19.1), ncclMemAlloc (2.19.1), which the preload "
              "library emulates");
}

/* What is compiled at run time must find the header of the NCCL that is active. */
static void headers_are_compared(void **state) {
    (void)state;
    struct scene scene = scene_make("healthy");
    const char *form = "#ifndef NCCL_H_\n#define NCCL_MAJOR 2\n#define NCCL_MINOR %d\n#define NCCL_PATCH %d\n";
    const char *wheel = SCENE_NAME "/venv/lib/python3.11/site-packages/nvidia/nccl";
    write_file(text("%s/nccl/include/nccl.h", scene.root), text(form, 32, 3));
    assert_contains(unwrapped(scene_says(&scene, 0, "nccl-redirect doctor")),
                    "warning headers NCCL_HOME: " SCENE_NAME
                    "/nccl/include has the headers of NCCL 2.32.3, the chosen library is 2.21.5");
    assert_contains(scene_says(&scene, 78, "nccl-redirect env --include"), "there is no nccl.h of NCCL 2.21.5 beside");
    assert_contains(unwrapped(scene_says(&scene, 0, "nccl-redirect doctor --use system")), "ok headers ");
    write_file(text("%s/venv/lib/python3.11/site-packages/nvidia/nccl/include/nccl.h", scene.root), text(form, 21, 5));
    assert_contains(unwrapped(scene_says(&scene, 0, "nccl-redirect doctor")),
                    text("NCCL_HOME=%s (nccl-redirect env --include", wheel));
    assert_contains(unwrapped(scene_says(&scene, 0, "nccl-redirect explain -- python x.py")),
                    text("headers %s/include ", wheel));
    const char *said = scene_says(&scene, 0, "nccl-redirect env --include");
    assert_contains(said, text("export EP_NCCL_ROOT_DIR=%s\n", wheel));
    assert_contains(said, text("export NCCL_HOME=%s\n", wheel));
    assert_contains(unwrapped(scene_says(&scene, 0, "eval \"$(nccl-redirect env --include)\"; nccl-redirect doctor")),
                    "ok headers ");
    assert_contains(scene_says(&scene, 0, "nccl-redirect explain --json -- python x.py"),
                    text("\"include\": \"%s/include\"", wheel));
}

static void problems_come_first(void **state) {
    (void)state;
    const char *said = scene_run(&healthy, "NCCL_NET_PLUGIN=nowhere nccl-redirect doctor -- sh -c 'exit 3'").out;
    const char *failure = strstr(said, "  FAIL "), *warning = strstr(said, "  warning "), *fine = strstr(said, "  ok ");
    assert_true(failure && warning && fine && failure < warning && warning < fine);
    assert_null(strstr(fine, "  FAIL "));
}

static void launchers_that_lose_the_preload_are_named(void **state) {
    (void)state;
    make_link("/bin/true", text("%s/tools/srun", healthy.root));
    make_link("/bin/true", text("%s/tools/mpirun", healthy.root));
    make_link("/bin/true", text("%s/tools/docker", healthy.root));
    make_link("/usr/bin/timeout", text("%s/tools/timeout", healthy.root));
    assert_finds(1, "", "-- env -i true", "FAIL launcher env -i clears the environment, LD_PRELOAD with it");
    assert_finds(1, "", "-- srun --export=HOME true", "FAIL launcher srun --export=NAME passes only what it names");
    assert_finds(0, "", "-- mpirun -H other true",
                 "warning launcher Open MPI passes LD_PRELOAD to processes on other hosts only");
    assert_finds(1, "", "-- docker run image", "FAIL launcher docker starts the program elsewhere");
    assert_lacks(doctor(0, "", "-- srun --export=ALL true"), "launcher");
    assert_lacks(doctor(0, "", "-- mpirun -H other -x LD_PRELOAD true"), "launcher");
    assert_lacks(doctor(0, "", "-- env A=1 sh -c true -i"), "launcher");
    assert_finds(1, "", "-- timeout 5 env -i true", "FAIL launcher env -i clears");
}

static void what_really_served_is_reported(void **state) {
    (void)state;
    assert_finds(0, "", "-- python train.py", "ok active NCCL 2.21.5 is active: " SCENE_NAME "/venv");
    assert_finds(0, "", "--use system -- sh -c 'python a; python b'",
                 "ok active in 2 processes: NCCL 2.32.3 is active");
    assert_finds(1, "", "-- sh -c 'NCCL_REDIRECT=torch python a; NCCL_REDIRECT=system python b'",
                 "FAIL active 2 different NCCLs were active in processes of this job");
    /* The choice was for this environment, and the program had another one. */
    assert_finds(0, "", "-- sh -c 'NCCL_REDIRECT=system python a'",
                 "warning active " SCENE_NAME "/nccl/lib/libnccl.so.2 is active instead of the choice above");
    assert_finds(0, "", "-- sh -c 'NCCL_REDIRECT=system python a'", "there it was decided by NCCL_REDIRECT=system");
    assert_finds(
        1, "",
        "--use system -- sh -c 'NCCL_HOME=/x LD_LIBRARY_PATH=$PWD/venv/lib/python3.11/site-packages/nvidia/nccl/lib "
        "python a'",
        "there it was found by system, from LD_LIBRARY_PATH, here by system, from NCCL_HOME");
    assert_lacks(doctor(0, "", "-- python a"), "instead of the choice");
    assert_finds(0, "", "-- true", "warning active no process of the command called NCCL through the preload library");
    assert_finds(1, "", "-- sh -c 'exit 3'", "FAIL run sh ended with exit code 3");
    assert_finds(1, "", "-- sh -c 'kill -9 $$'", "FAIL run sh was ended by signal 9");
    assert_finds(1, "", "-- nothere", "FAIL command nothere is not found on PATH");
    write_file(text("%s/late.py", healthy.root), "import os\nos.environ['LD_PRELOAD'] = 'x'\n");
    assert_finds(0, "", "-- python late.py", "warning set too late late.py sets LD_PRELOAD in line 2");
}

static void the_output_of_the_command_is_its_own(void **state) {
    (void)state;
    struct result result = scene_run(&healthy, "nccl-redirect doctor -- python train.py");
    assert_contains(result.out, "train.py: NCCL 2.21.5\n");
    result_free(&result);
    result = scene_run(&healthy, "nccl-redirect doctor --json -- python train.py");
    assert_lacks(result.out, "train.py: NCCL");
    assert_contains(result.err, "train.py: NCCL 2.21.5\n");
    assert_int_equal(result.out[0], '{');
    result_free(&result);
    make_folder(text("%s/tmp", healthy.root));
    const char *said = scene_says(&healthy, 0, "TMPDIR=$PWD/tmp nccl-redirect doctor -- python train.py; echo tmp/*");
    assert_contains(said, "\ntmp/*\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_environment_is_well),
        cmocka_unit_test(variables_are_read_as_the_shim_reads_them),
        cmocka_unit_test(the_preload_list_is_checked),
        cmocka_unit_test(a_preload_that_does_not_load_is_a_failure),
        cmocka_unit_test(torch_without_gpu_or_nccl_is_told),
        cmocka_unit_test(the_driver_must_be_new_enough),
        cmocka_unit_test(a_net_plugin_must_fit),
        cmocka_unit_test(plugins_are_opened),
        cmocka_unit_test(what_stands_in_the_way_is_told),
        cmocka_unit_test(what_torch_asks_for_is_compared),
        cmocka_unit_test(methods_say_what_would_happen),
        cmocka_unit_test(functions_are_emulated_or_refused),
        cmocka_unit_test(headers_are_compared),
        cmocka_unit_test(problems_come_first),
        cmocka_unit_test(launchers_that_lose_the_preload_are_named),
        cmocka_unit_test(what_really_served_is_reported),
        cmocka_unit_test(the_output_of_the_command_is_its_own),
    };
    return cmocka_run_group_tests(tests, make_scenes, NULL);
}
