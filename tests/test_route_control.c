/* SPDX-License-Identifier: Apache-2.0 */
/*
 * include/nccl_redirect.h: from C, C++ and Python, with the preload and without.
 * NOT SANITIZED: a C++ program and Python are not compiled for it.
 */
#include "owned.h"

#include <string.h>
#include <unistd.h>

static const char python[] = "/usr/bin/python3";

static struct result ask(enum preload preload, const char *program_name, const char *const *more) {
    const char *command[16] = {program(program_name)};
    for (unsigned i = 0; more[i] && i < 14; i++)
        command[i + 1] = more[i];
    return run(preload, ENV(text("NCCL_REDIRECT=%s", owned("22809"))), command);
}

static void check_program(const char *name) {
    const char *second = owned("23203"),
               *steps[] = {
                   text("available=%s", second), "maps", text("use=%s", second), "info", "use", "info", "maps", NULL};
    struct result result = ask(WITH_SHIM, name, steps);
    assert_string_equal(result.out, text("present=1\navailable=1,1,1 reason=%s little=/tmp rest=#\nmaps=0\nuse=0\n"
                                         "info=0 version=23203 backends=2 kind=path bound=chosen build_id=yes "
                                         "path=%s missing= why=\nuse=0\n"
                                         "info=0 version=22809 backends=2 kind=path bound=first-use build_id=yes "
                                         "path=%s missing= why=\n"
                                         "maps=2\n",
                                         second, second, owned("22809")));
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 0);
    result_free(&result);
    result = ask(WITHOUT_SHIM, name, steps);
    assert_string_equal(result.out,
                        "present=0\navailable=0,0,0 reason=nccl-redirect is not loaded little=nccl rest=#\nmaps=0\n"
                        "use=5\ninfo=5\nuse=5\ninfo=5\nmaps=0\n");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void from_c(void **state) {
    (void)state;
    check_program("ask");
}

static void from_cxx(void **state) {
    (void)state;
    if (access(program("ask_cxx"), X_OK) != 0) {
        print_message("no C++ compiler was here when the tests were built\n");
        skip();
    }
    check_program("ask_cxx");
}

static void from_python(void **state) {
    static const char code[] = "import ctypes, sys\n"
                               "class Info(ctypes.Structure):\n"
                               "    _fields_ = [('size', ctypes.c_size_t), ('version', ctypes.c_int), ('backends', "
                               "ctypes.c_int),\n"
                               "                ('kind', ctypes.c_char_p), ('path', ctypes.c_char_p)]\n"
                               "lib = ctypes.CDLL(None)\n"
                               "if not hasattr(lib, 'nccl_redirect_use'):\n"
                               "    sys.exit('not preloaded')\n"
                               "reason, info = ctypes.create_string_buffer(256), Info(ctypes.sizeof(Info))\n"
                               "print(lib.nccl_redirect_available(b'torc', reason, 256), reason.value.decode())\n"
                               "print(lib.nccl_redirect_use(sys.argv[1].encode()))\n"
                               "print(lib.nccl_redirect_info(None, ctypes.byref(info)), info.version, "
                               "info.path.decode())\n";
    (void)state;
    const char *redirect = text("NCCL_REDIRECT=%s", owned("22809"));
    struct result result = run(WITH_SHIM, ENV(redirect), CMD(python, "-c", code, owned("23203")));
    assert_string_equal(
        result.out,
        text("0 use torch, system, program or the absolute path of a libnccl.so.2\n0\n0 23203 %s\n", owned("23203")));
    result_free(&result);
    result = run(WITHOUT_SHIM, ENV(redirect), CMD(python, "-c", code, owned("23203")));
    assert_string_equal(result.err, "not preloaded\n");
    result_free(&result);
}

static void structs_of_every_size(void **state) {
    (void)state;
    struct result result = ask(WITH_SHIM, "ask", ENV("sizes"));
    assert_string_equal(result.out, "present=1\nsize=all code=0 kept=1 version=22809 behind=untouched\n"
                                    "size=less code=0 kept=1 version=22809 behind=untouched\n"
                                    "size=more code=0 kept=1 version=22809 new=zero behind=untouched\n"
                                    "size=none code=4 none=4\n");
    result_free(&result);
}

static void the_reason_why_not(void **state) {
    (void)state;
    const char *garbage = text("%s/libnccl.so.2", fresh_folder());
    write_file(garbage, "no library");
    const struct {
        const char *backend, *reason;
    } cases[] = {{"/nowhere/libnccl.so.2",
                  "reason=/nowhere/libnccl.so.2 (path, from nccl_redirect_available) does not exist little="},
                 {"libnccl.so.2", "reason=use torch, system, program or the absolute path of a libnccl.so.2 little="},
                 {"", "reason=use torch, system, program or the absolute path of a libnccl.so.2 little="},
                 {"auto", "reason=use torch, system, program or the absolute path of a libnccl.so.2 little="},
                 {garbage, text("reason=%s (path, from nccl_redirect_available) is ", garbage)},
                 {shim(), "is nccl-redirect itself"},
                 {"torch", "torch"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result result =
            ask(WITH_SHIM, "ask", ENV(text("available=%s", cases[i].backend), text("use=%s", cases[i].backend)));
        assert_contains(result.out, "available=0,0,0 ");
        assert_contains(result.out, cases[i].reason);
        assert_contains(result.out, i > 0 && i < 4 ? "use=4\n" : "use=2\n");
        result_free(&result);
    }
    /* Words as in the variable: any case. */
    struct result result = ask(WITH_SHIM, "ask", ENV("available=Torch"));
    assert_lacks(result.out, "reason=use torch");
    result_free(&result);
}

/* The torch of a folder, where the environment says that it is. */
static void torch_by_name(void **state) {
    (void)state;
    const char *site = fresh_folder(), *nccl = text("%s/nvidia/nccl/lib/libnccl.so.2", site);
    write_file(text("%s/torch/__init__.py", site), "");
    copy_file(library("empty"), text("%s/torch/lib/libtorch_cuda.so", site), -1);
    copy_file(owned("23203"), nccl, -1);
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", owned("22809")), text("NCCL_REDIRECT_TORCH=%s", site)),
            CMD(program("ask"), "available=torch", "info", "use=torch", "info"));
    assert_contains(result.out, text("available=1,1,1 reason=%s ", nccl));
    assert_contains(result.out, "info=0 version=22809 backends=1 kind=path");
    assert_contains(result.out, "use=0\ninfo=0 version=0 backends=2 kind=torch bound=chosen");
    result_free(&result);
}

#define BARE "slot:ncclAllReduce slot:pncclCommCount slot:ncclGroupStart"

static const char *bare(const char *file) {
    return text("jumps to %s; slot:ncclAllReduce=0; jumps to %s; slot:pncclCommCount=0; jumps to "
                "%s; slot:ncclGroupStart=0",
                file, file, file);
}

/* Nothing but the jump stands in the way until a second library is chosen; asking is not choosing. */
static void who_does_not_choose_pays_nothing(void **state) {
    (void)state;
#if !defined(__x86_64__)
    skip();
#endif
    const char *in_a = bare("$A"), *in_shim = bare(shim());
    assert_transcript(NO_ENV, BARE " use:torch use version " BARE,
                      text("%s; use:torch=2; use=0; version=22809; %s", in_a, in_a));
    assert_transcript(NO_ENV, "use:$B use " BARE, text("use:$B=0; use=0; %s", in_shim));
    /* The default by its own path, by a link, and by another path to the file: one and the same library. */
    const char *link = text("%s/libnccl.so.2", fresh_folder());
    make_link(owned("22809"), link);
    assert_transcript(ENV(text("LINK=%s", link)), "use:$A use:$LINK use:$LINK info " BARE,
                      text("use:$A=0; use:$LINK=0; use:$LINK=0; version=22809 backends=1 kind=path "
                           "bound=start path=$A missing= "
                           "why=; info=0; %s",
                           in_a));
    /* A rule about opened files changes nothing for the other calls. */
    assert_transcript(ENV(text("NCCL_REDIRECT_RULES=open:*=%s", owned("23203"))), "dlopen:$B " BARE,
                      text("dlopen:$B=23203; %s", in_a));
}

static void the_same_choice_is_searched_once(void **state) {
    (void)state;
    struct result result = owned_run(ENV("NCCL_REDIRECT_LOG=info"), "use:$B use:$B use use:$B version");
    const char *line = strstr(result.err, "is active too");
    assert_non_null(line);
    assert_null(strstr(line + 1, "is active too"));
    assert_contains(result.err, "(path, from nccl_redirect_use; decided by nccl_redirect_use)");
    result_free(&result);
}

static void sixteen_at_most(void **state) {
    (void)state;
    const char *steps = "";
    const char *environment[20] = {NULL};
    for (int i = 0; i < 16; i++) {
        environment[i] = text("L%d=%s", i, owned(text("229%02d", i)));
        steps = text("%s use:$L%d", steps, i);
    }
    struct result result = owned_run(environment, text("%s last version info use version", steps));
    assert_contains(result.out, "use:$L14=0\nuse:$L15=2\nlast=nccl_redirect_use(");
    assert_contains(result.out, "16 libraries are open already, which is the limit");
    assert_contains(result.out, "version=22914\n"); /* the choice is as before */
    assert_contains(result.out, "backends=16 ");
    assert_contains(result.out, "use=0\nversion=22809\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_c),
        cmocka_unit_test(from_cxx),
        cmocka_unit_test(from_python),
        cmocka_unit_test(structs_of_every_size),
        cmocka_unit_test(the_reason_why_not),
        cmocka_unit_test(torch_by_name),
        cmocka_unit_test(who_does_not_choose_pays_nothing),
        cmocka_unit_test(the_same_choice_is_searched_once),
        cmocka_unit_test(sixteen_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
