/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Python that looks functions up by the handle that it opened, as vLLM's pynccl does: getattr of every function at
 * once.
 */
#include "support.h"

#include <stdio.h>
#include <unistd.h>

static const char python[] = "/usr/bin/python3";

/* The functions that vLLM's wrapper asks for: at first, and since it knows windows. */
#define OLD                                                                                                            \
    "'ncclGetErrorString', 'ncclGetVersion', 'ncclGetUniqueId', 'ncclCommInitRank', "                                  \
    "'ncclAllReduce', 'ncclSend', 'ncclRecv', 'ncclCommDestroy'"
#define NEW                                                                                                            \
    OLD ", 'ncclAllGather', 'ncclReduceScatter', 'ncclBroadcast', 'ncclGroupStart', "                                  \
        "'ncclGroupEnd', 'ncclCommWindowRegister', 'ncclCommWindowDeregister'"

static struct result wrap(enum preload preload, const char *wheel, const char *opened, const char *functions) {
    const char *code = text("import ctypes\n"
                            "class Id(ctypes.Structure):\n"
                            "    _fields_ = [('internal', ctypes.c_byte * 128)]\n"
                            "lib = ctypes.CDLL('%s')\n"
                            "funcs = {name: getattr(lib, name) for name in [%s]}\n"
                            "funcs['ncclGetErrorString'].restype = ctypes.c_char_p\n"
                            "version, uid = ctypes.c_int(), Id()\n"
                            "print(funcs['ncclGetVersion'](ctypes.byref(version)), version.value)\n"
                            "print(funcs['ncclGetUniqueId'](ctypes.byref(uid)), any(uid.internal))\n"
                            "print(funcs['ncclGetErrorString'](4).decode()[:16])\n"
                            "print(len({l.split()[-1] for l in open('/proc/self/maps') if '/libnccl.so' in l}))\n",
                            opened, functions);
    return run(preload, ENV(text("NCCL_REDIRECT=%s", real_nccl(wheel))), CMD(python, "-c", code));
}

static void check(const char *wheel, const char *version, const char *opened, const char *functions) {
    struct result result = wrap(WITH_SHIM, wheel, opened, functions);
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, text("0 %s\n0 True\ninvalid argument\n1\n", version));
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void the_wrapper_works_on_every_version(void **state) {
    static const struct {
        const char *wheel, *version;
    } cases[] = {{"cu11-2.14.3", "21403"}, {"cu12-2.21.5", "22105"}, {"cu12-2.32.3", "23203"}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        check(cases[i].wheel, cases[i].version, "libnccl.so.2", OLD);
        check(cases[i].wheel, cases[i].version, "libnccl.so.2", NEW);
        check(cases[i].wheel, cases[i].version, real_nccl(cases[(i + 1) % 3].wheel), NEW);
    }
}

static void without_the_shim_it_needs_a_new_one(void **state) {
    (void)state;
    struct result result = wrap(WITHOUT_SHIM, "cu12-2.32.3", real_nccl("cu12-2.21.5"), OLD);
    assert_contains(result.out, "0 22105\n");
    result_free(&result);
    result = wrap(WITHOUT_SHIM, "cu12-2.32.3", real_nccl("cu12-2.21.5"), NEW);
    assert_contains(result.err, "undefined symbol: ncclCommWindowRegister");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wrapper_works_on_every_version),
        cmocka_unit_test(without_the_shim_it_needs_a_new_one),
    };
    if (access(python, X_OK) != 0) {
        printf("there is no %s; apt-get install python3\n", python);
        return NCR_SKIP;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
