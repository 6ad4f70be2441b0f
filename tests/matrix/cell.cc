/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program compiled against one real nccl.h: calls every function that the header declares, with
 * its true prototype, as far as that needs no GPU. Each call runs in a child of its own, so that
 * one that crashes costs its line only.
 *
 * Prints "NAME<tab>ANSWER<tab>text of ncclGetLastError" per case; ANSWER is "code 4", "number -1",
 * "text", "nothing", "team 0 0 0", "signal 11" or "exit 127" (a symbol that is missing).
 *
 * DECLARED is the list of the functions, XX(ncclGetVersion) and so on, made by tests/matrix/run;
 * for the newest header also of the fields that the preload knows, FIELD(name).
 */
#include <nccl.h>
#if NCCL_VERSION_CODE >= 22803
#include <nccl_device.h>
#endif

#include "abi/types.h"

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <type_traits>
#include <unistd.h>

template <class Result> static void show(Result result) {
    if constexpr (std::is_same_v<Result, ncclResult_t>)
        printf("code %d", result);
    else if constexpr (std::is_same_v<Result, int>)
        printf("number %d", result);
    else if constexpr (std::is_same_v<Result, const char *>)
        printf("%s", result ? "text" : "no text");
    else
        printf("team %d %d %d", result.nRanks, result.rank, result.stride);
}

/* Zero for every argument: no communicator, no buffer, no elements. */
template <class Result, class... Arguments> static void zero(Result (*function)(Arguments...)) {
    if constexpr (std::is_void_v<Result>) {
        function(std::remove_cv_t<Arguments>{}...);
        printf("nothing");
    } else {
        show(function(std::remove_cv_t<Arguments>{}...));
    }
}

/* The same where C++ headers have an inline function of that name for devices too. */
template <class Result, class... Arguments>
static void zero(Result (*function)(ncclComm_t, Arguments...)) {
    zero<Result, ncclComm_t, Arguments...>(function);
}

template <class Code> static void attempt(const char *name, Code code) {
    int status;
    printf("%s\t", name);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        code();
        char text[1024];
        snprintf(text, sizeof text, "%s", ncclGetLastError(nullptr));
        for (char *c = text; *c; c++)
            *c = *c == '\n' || *c == '\t' ? ' ' : *c;
        printf("\t%s", text);
        fflush(stdout);
        _exit(0);
    }
    if (waitpid(child, &status, 0) == child && WIFSIGNALED(status))
        printf("signal %d\t", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        printf("exit %d\t", WEXITSTATUS(status));
    printf("\n");
}

static ncclUniqueId some_id() {
    ncclUniqueId id;
    if (ncclGetUniqueId(&id) != ncclSuccess)
        abort();
    return id;
}

/* ---- configurations ---- */

static void with_config(ncclConfig_t config) {
    ncclComm_t comm = nullptr;
    show(ncclCommInitRankConfig(&comm, 1, some_id(), 0, &config));
}

static void config_cases() {
    attempt("config standard", [] { with_config(NCCL_CONFIG_INITIALIZER); });
    attempt("config none", [] {
        ncclComm_t comm = nullptr;
        show(ncclCommInitRankConfig(&comm, 1, some_id(), 0, nullptr));
    });
    attempt("config wrong", [] {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.magic = 1;
        with_config(config);
    });
    attempt("config blocking", [] {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 1;
        with_config(config);
    });
#if NCCL_VERSION_CODE >= 21701
    attempt("config set", [] {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.minCTAs = 1;
#if NCCL_VERSION_CODE >= 22602
        config.trafficClass = 1;
#endif
#if NCCL_VERSION_CODE >= 22703
        config.commName = "matrix";
#endif
#if NCCL_VERSION_CODE >= 22803
        config.nvlinkCentricSched = 1;
#endif
#if NCCL_VERSION_CODE >= 22902
        config.graphUsageMode = 1;
#endif
#if NCCL_VERSION_CODE >= 23003
        config.maxP2pPeers = 8;
#endif
        with_config(config);
    });
#endif
#if NCCL_VERSION_CODE >= 22304
    attempt("scalable", [] {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        ncclComm_t comm = nullptr;
        ncclUniqueId id = some_id();
        show(ncclCommInitRankScalable(&comm, 1, 0, 1, &id, &config));
    });
#endif
#if NCCL_VERSION_CODE >= 23102
    attempt("collective config", [] {
        ncclCollConfig_t config = NCCL_COLLCONFIG_INITIALIZER;
        config.minCTAs = 4;
        show(
            ncclAllReduceConfig(nullptr, nullptr, 1, ncclInt8, ncclSum, nullptr, nullptr, &config));
    });
#endif
}

/* ---- structs of the device API, on no communicator ---- */

static void device_cases() {
#if NCCL_VERSION_CODE >= 22902
    attempt("device struct", [] {
        ncclDevCommRequirements requirements = NCCL_DEV_COMM_REQUIREMENTS_INITIALIZER;
        ncclDevComm device;
        show(ncclDevCommCreate(nullptr, &requirements, &device));
    });
    attempt("properties", [] {
        ncclCommProperties_t properties = NCCL_COMM_PROPERTIES_INITIALIZER;
        show(ncclCommQueryProperties(nullptr, &properties));
    });
#elif NCCL_VERSION_CODE >= 22803
    attempt("device struct", [] {
        /* A configuration tells for which header the program is compiled. */
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        ncclComm_t comm = nullptr;
        ncclCommInitRankConfig(&comm, 0, some_id(), 0, &config);
        ncclDevCommRequirements requirements = {};
        ncclDevComm device;
        show(ncclDevCommCreate(nullptr, &requirements, &device));
    });
#endif
#if NCCL_VERSION_CODE >= 22803
    /* 256 bytes behind the struct must stay as they are. */
    attempt("device requirement", [] {
        struct {
            ncclDevResourceRequirements requirement;
            unsigned char guard[256];
        } out;
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        ncclComm_t comm = nullptr;
        ncclLsaBarrierHandle handle;
        ncclTeam_t team = {2, 0, 1};
        ncclCommInitRankConfig(&comm, 0, some_id(), 0, &config);
        memset(&out, 0x5a, sizeof out);
        show(ncclLsaBarrierCreateRequirement(team, 1, &handle, &out.requirement));
        for (unsigned char byte : out.guard)
            if (byte != 0x5a) {
                printf(" overrun");
                break;
            }
    });
#endif
}

/* ---- what needs no arguments, and groups ---- */

static void plain_cases() {
    attempt("version", [] {
        int version = 0;
        ncclResult_t code = ncclGetVersion(&version);
        printf("code %d, %d", code, version);
    });
    attempt("unique id", [] {
        ncclUniqueId id;
        show(ncclGetUniqueId(&id));
    });
    attempt("error strings", [] {
        for (int code = 0; code < 9; code++)
            if (!ncclGetErrorString((ncclResult_t)code))
                abort();
        printf("text");
    });
    attempt("group", [] {
        printf("start %d, start %d, ", ncclGroupStart(), ncclGroupStart());
        printf("end %d, end %d, ", ncclGroupEnd(), ncclGroupEnd());
        show(ncclGroupEnd());
    });
    attempt("spoilt group", [] {
        ncclGroupStart();
        ncclResult_t code = ncclAllReduce(nullptr, nullptr, 1, ncclInt8, ncclSum, nullptr, nullptr);
        printf("call %d, ", code);
        show(ncclGroupEnd());
    });
#if NCCL_VERSION_CODE >= 22203
    attempt("simulation", [] {
        ncclSimInfo_t info = NCCL_SIM_INFO_INITIALIZER;
        ncclGroupStart();
        show(ncclGroupSimulateEnd(&info));
    });
#endif
}

int main() {
    setvbuf(stdout, nullptr, _IOLBF, 1 << 16);
#define FIELD(name)                                                                                \
    static_assert(offsetof(ncclConfig_t, name) == offsetof(ncr_nccl_config, name), "abi/nccl_config.def");
#define XX(name) attempt(#name, [] { zero(name); });
#include DECLARED
#undef XX
#undef FIELD
    plain_cases();
    config_cases();
    device_cases();
    return 0;
}
