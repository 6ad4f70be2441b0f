/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the recorder leaves behind, of real programs: every call with its arguments, whole at every instant, exact in its
 * totals; nothing where it is off, and nothing but a line where it cannot write.
 */
#include "owned.h"
#include "support.h"

#include "trace.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *use_hostmem(void) {
    return text("NCCL_REDIRECT=%s", hostmem("plain"));
}

static struct result run_job(const char *folder, const char *const *command) {
    return run(WITH_SHIM, ENV(use_hostmem(), text("NCCL_REDIRECT_TRACE=%s", folder)), command);
}

static void open_set(struct trace_set *set, const char *folder) {
    *set = (struct trace_set){0};
    trace_set_add(set, folder);
    assert_int_equal(set->refused_count, 0);
    trace_comms_join(set);
    trace_clocks_align(set);
    trace_match(set, NULL, NULL);
}

static const struct trace_file *of_rank(const struct trace_set *set, int rank) {
    for (unsigned i = 0; i < set->count; i++)
        if (set->files[i]->global_rank == rank)
            return set->files[i];
    fail_msg("there is no trace of rank %d", rank);
    return NULL;
}

static const struct trace_record *find(const struct trace_file *file, unsigned function, unsigned nth) {
    for (unsigned i = 0; i < file->tail_count; i++)
        if (file->tail[i].function == function && nth-- == 0)
            return &file->tail[i];
    fail_msg("%s was not recorded so often", trace_call(function)->name);
    return NULL;
}

static void every_call_is_there_with_its_arguments(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    struct trace_set set;
    struct result result = run_job(
        folder,
        CMD(program("linked_job"), "2",
            "all=init,ar:0:100,mx:0:7,bc:0:5:1,gs,s:0:9:0,s:0:9:1,r:0:9:0,r:0:9:1,ge,split:0:1,ard:1:3,destroy:1,destroy:0"));
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 0);
    open_set(&set, folder);
    assert_int_equal(set.count, 3); /* the parent asked for an id, each child has a file of its own */
    for (int rank = 0; rank < 2; rank++) {
        const struct trace_file *file = of_rank(&set, rank);
        assert_int_equal(file->life, TRACE_EXITED);
        assert_int_equal(file->made, 14);
        assert_int_equal(file->kept, 14);
        const struct trace_record *record = find(file, TRACE_ncclAllReduce, 0);
        assert_int_equal(record->count, 100);
        assert_int_equal(record->type, 7);
        assert_int_equal(record->op, TRACE_SUM);
        assert_int_equal(record->call, 1);
        assert_int_equal(record->group, 0);
        assert_int_equal(record->peer, TRACE_NO_PEER);
        assert_true(record->leave > record->enter);
        assert_string_equal(trace_caller_name(file, record), "linked_job");
        assert_int_equal(find(file, TRACE_ncclAllReduce, 1)->op, TRACE_MAX);
        assert_int_equal(find(file, TRACE_ncclAllReduce, 2)->type, 8);
        assert_int_equal(find(file, TRACE_ncclBroadcast, 0)->peer, 1);
        assert_int_equal(find(file, TRACE_ncclBroadcast, 0)->call, 3);
        assert_int_equal(find(file, TRACE_ncclSend, 1)->peer, 1);
        assert_int_equal(find(file, TRACE_ncclSend, 1)->call, 1);
        assert_int_equal(find(file, TRACE_ncclSend, 1)->group, 1);
        assert_true(find(file, TRACE_ncclSend, 1)->flags & TRACE_IN_GROUP);
        assert_true(find(file, TRACE_ncclSend, 1)->flags & TRACE_CAPTURE_UNKNOWN); /* no driver here */
        assert_int_equal(find(file, TRACE_ncclCommSplit, 0)->call, 4);
        assert_int_equal(file->comm_count, 2);
        assert_int_equal(file->comms[1].ranks, 2);
        assert_int_equal(file->comms[1].rank, rank);
        assert_int_equal(file->comms[1].ending, TRACE_DESTROYED);
        assert_int_equal(file->comms[1].parent, file->comms[0].identity);
        assert_string_equal(file->libraries[0].path, hostmem("plain"));
        assert_int_equal(file->libraries[0].version, 22809);
    }
    assert_int_equal(set.communicator_count, 2);
    assert_int_equal(set.communicators[0].count, 2);
    assert_int_equal(set.matching->odd_count, 0);
    trace_set_close(&set);
    result_free(&result);
}

/*
 * Without blocking a split returns before there is a handle, and the program's variable may be another's by the time of
 * the first call with it.
 */
static void handles_that_come_later_are_known(void **state) {
    (void)state;
    static const char *const made[] = {"split:0:1,wait:0,vsplit:0:2", "vsplit:0:1,vsplit:0:2",
                                       "gs,split:0:1,split:0:2,ge,wait:0"};
    for (unsigned i = 0; i < sizeof made / sizeof *made; i++) {
        const char *folder = fresh_folder();
        struct trace_set set;
        struct result result =
            run(WITH_SHIM, ENV(use_hostmem(), text("NCCL_REDIRECT_TRACE=%s", folder), "HOSTMEM_SPLIT_MS=20"),
                CMD(program("linked_job"), "2", text("all=nbinit,%s,sleep:100,ar:2:7,ar:1:5", made[i])));
        assert_int_equal(result.status, 0);
        open_set(&set, folder);
        assert_int_equal(set.communicator_count, 3);
        for (int rank = 0; rank < 2; rank++) {
            const struct trace_file *file = of_rank(&set, rank);
            assert_int_equal(file->comm_count, 3);
            for (unsigned row = 0; row < 3; row++) {
                assert_int_equal(file->comms[row].ending, TRACE_OPEN);
                assert_int_equal(file->comms[row].rank, rank);
                assert_int_equal(file->comms[row].ranks, 2);
                assert_true(file->comms[row].flags & TRACE_NONBLOCKING);
            }
            assert_int_equal(file->comms[find(file, TRACE_ncclAllReduce, 0)->comm].color, 2);
            assert_int_equal(file->comms[find(file, TRACE_ncclAllReduce, 1)->comm].color, 1);
        }
        trace_set_close(&set);
        result_free(&result);
    }
}

/* The same of every function that makes one of another; the program looks at its variable alone, or takes the handle out. */
static void whatever_makes_them(void **state) {
    (void)state;
    static const char *const made[] = {"split:a,b", "shrink:a,b", "grow:a,b"};
    static const unsigned origins[] = {TRACE_SPLIT, TRACE_SHRINK, TRACE_GROW};
    for (unsigned i = 0; i < 6; i++) {
        const char *folder = fresh_folder();
        struct trace_set set;
        struct result result =
            owned_run(ENV("OWNED_LATE=silent", text("NCCL_REDIRECT_TRACE=%s", folder)),
                      text("all:a %s poll:b %s", made[i / 2], i % 2 ? "take:b,c reduce:c" : "reduce:b"));
        assert_int_equal(result.status, 0);
        open_set(&set, folder);
        const struct trace_record *record = find(set.files[0], TRACE_ncclAllReduce, 0);
        assert_int_equal(set.files[0]->comms[record->comm].origin, origins[i / 2]);
        assert_int_equal(set.files[0]->comms[record->comm].ending, TRACE_OPEN);
        trace_set_close(&set);
        result_free(&result);
    }
}

/* A communicator's NCCL, and a stream that is captured, are in the records of its calls. */
static void two_nccls_and_captures_are_told_apart(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    struct trace_set set;
    struct result result = run(WITH_SHIM,
                               ENV(text("LD_PRELOAD=%s", library("capture_driver")), use_hostmem(),
                                   text("B=%s", hostmem("old")), text("NCCL_REDIRECT_TRACE=%s", folder)),
                               CMD(program("linked_job"), "2", "all=init,use,other,ar:0:10,on:5,ar:1:20,on:4,ar:1:30"));
    assert_int_equal(result.status, 0);
    open_set(&set, folder);
    for (int rank = 0; rank < 2; rank++) {
        const struct trace_file *file = of_rank(&set, rank);
        const struct trace_record *calls[3];
        for (unsigned i = 0; i < 3; i++) {
            calls[i] = find(file, TRACE_ncclAllReduce, i);
            assert_int_equal(calls[i]->count, 10 + 10 * i);
            assert_int_equal(calls[i]->flags & (TRACE_CAPTURED | TRACE_CAPTURE_UNKNOWN), i == 1 ? TRACE_CAPTURED : 0);
            assert_true(calls[i]->flags & TRACE_ROUTED);
        }
        assert_int_equal(file->libraries[file->comms[calls[0]->comm].library].version, 22809);
        assert_int_equal(file->libraries[file->comms[calls[1]->comm].library].version, 21803);
        assert_int_equal(calls[2]->comm, calls[1]->comm);
    }
    trace_set_close(&set);
    result_free(&result);
}

static unsigned files_in(const char *folder) {
    unsigned count = 0;
    DIR *all = opendir(folder);
    for (struct dirent *entry; all && (entry = readdir(all));)
        count += entry->d_name[0] != '.';
    if (all)
        closedir(all);
    return count;
}

static void off_there_is_no_file_and_no_stub(void **state) {
    (void)state;
    static const char *const off[] = {"NCCL_REDIRECT_TRACE=0", "NCCL_REDIRECT_TRACE=", "OTHER=1"};
    struct result on = run(WITH_SHIM, ENV(use_hostmem(), text("NCCL_REDIRECT_TRACE=%s", fresh_folder())),
                           CMD(program("slot_targets"), hostmem("plain")));
    assert_contains(on.out, " own=");
    for (unsigned i = 0; i < 3; i++) {
        struct result result =
            run(WITH_SHIM, ENV(use_hostmem(), off[i]), CMD(program("slot_targets"), hostmem("plain")));
        assert_int_equal(result.status, 0);
        /* every function leads to the backend itself; recorded, it leads to a stub */
        assert_true(atoi(strstr(result.out, " own=") + 5) >= atoi(strstr(on.out, " own=") + 5) + 40);
        result_free(&result);
    }
    result_free(&on);
}

static void a_wrong_value_is_an_error_line(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(use_hostmem(), "NCCL_REDIRECT_TRACE=some/folder"),
                               CMD(program("linked_job"), "1", "all=init,ar:0:8"));
    assert_contains(result.err, "NCCL_REDIRECT_TRACE=\"some/folder\"");
    assert_contains(result.err, "absolute path of a folder");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* Configurations of every version, some with garbage where a later one has fields; calls of several threads to two NCCLs. */
static void programs_do_not_notice(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM,
                               ENV(text("NCCL_REDIRECT=%s", library("adapt_recorder")), "RECORDER_VERSION=23203",
                                   text("NCCL_REDIRECT_TRACE=%s", fresh_folder())),
                               CMD(program("adapt_config"), "libnccl.so.2"));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    result_free(&result);
    result = run_job(fresh_folder(), CMD(program("linked_route"), "threads", hostmem("old")));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* ---- where it cannot write ---- */

static void unaffected(const char *folder, const char *why) {
    struct result result = run_job(folder, CMD(program("linked_job"), "1", "all=init,ar:0:8*100,destroy:0"));
    assert_int_equal(result.status, 0);
    assert_contains(result.out, "rank 0 done");
    const char *first = strstr(result.err, "calls are not recorded");
    assert_non_null(first);
    assert_contains(result.err, why);
    result_free(&result);
}

static void a_folder_that_cannot_be_is_one_line(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    write_file(text("%s/file", folder), "x");
    unaffected(text("%s/file", folder), "it is not a folder");
    unaffected(text("%s/none/there", folder), "No such file");
    assert_int_equal(files_in(folder), 1);
}

/* What a small file system does: as root in a name space of its own. */
static void a_full_file_system_is_one_line(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    if (mount("none", folder, "tmpfs", 0, "size=1m") != 0) {
        print_message("skipped: mount needs root\n");
        return;
    }
    unaffected(folder, "No space left");
    assert_int_equal(files_in(folder), 0);
    mount("none", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL);
    unaffected(folder, "Read-only file system");
    umount2(folder, MNT_DETACH);
}

/* /dev/shm/nccl-redirect-UID is a name that anybody can take first. */
static void the_standard_folder_is_ours_or_not_used(void **state) {
    (void)state;
    const char *standard = text("/dev/shm/nccl-redirect-%d", (int)getuid()),
               *aside = text("%s.aside-%d", standard, (int)getpid());
    bool had = rename(standard, aside) == 0;
    const char *target = fresh_folder();
    assert_int_equal(symlink(target, standard), 0);
    unaffected("1", "it is not a folder, or it is a symbolic link");
    assert_int_equal(files_in(target), 0);
    unlink(standard);
    if (getuid() == 0) {
        assert_int_equal(mkdir(standard, 0755), 0);
        assert_int_equal(chown(standard, 12345, 12345), 0);
        unaffected("1", "belongs to another user");
        assert_int_equal(chown(standard, 0, 0), 0);
        assert_int_equal(chmod(standard, 0777), 0);
        unaffected("1", "others can write");
        assert_int_equal(files_in(standard), 0);
        rmdir(standard);
    }
    struct result result = run_job("1", CMD(program("linked_job"), "1", "all=init,ar:0:8"));
    struct stat status;
    assert_string_equal(result.err, "");
    /* what ended processes have left does not fill the memory: of 80 files the oldest go */
    for (unsigned i = 0; i < 80; i++)
        write_file(text("%s/host.999999.%u%s", standard, 1000 + i, TRACE_SUFFIX), "old");
    result_free(&result);
    result = run_job("1", CMD(program("linked_job"), "1", "all=init,ar:0:8"));
    assert_in_range(files_in(standard), 60, 66);
    assert_int_not_equal(access(text("%s/host.999999.1000%s", standard, TRACE_SUFFIX), F_OK), 0);
    assert_int_equal(access(text("%s/host.999999.1079%s", standard, TRACE_SUFFIX), F_OK), 0);
    result_free(&result);
    result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/sh", "-c", text("rm %s/*", standard)));
    result_free(&result);
    result = run_job("1", CMD(program("linked_job"), "1", "all=init,ar:0:8"));
    assert_int_equal(stat(standard, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_int_equal(files_in(standard), 2);
    result_free(&result);
    result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/rm", "-r", standard));
    result_free(&result);
    if (had)
        rename(aside, standard);
}

static void a_file_is_for_its_owner_alone(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    struct result result = run_job(folder, CMD(program("linked_job"), "1", "all=init"));
    DIR *all = opendir(folder);
    for (struct dirent *entry; (entry = readdir(all));) {
        struct stat status;
        if (entry->d_name[0] == '.')
            continue;
        assert_int_equal(lstat(text("%s/%s", folder, entry->d_name), &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
    closedir(all);
    result_free(&result);
}

/* ---- costs ---- */

static unsigned lines(const char *text) {
    unsigned count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static const char *strace(void) {
    static const char installed[] = "/usr/bin/strace";
    return access(installed, X_OK) == 0 ? installed : built("packages/usr/bin/strace");
}

static void a_recorded_call_makes_no_system_call(void **state) {
    (void)state;
    unsigned counts[2];
    for (unsigned i = 0; i < 2; i++) {
        const char *folder = fresh_folder(), *log = text("%s/strace", folder), *counters = text("%s/counters", folder);
        int file = open(counters, O_CREAT | O_RDWR, 0600);
        assert_int_equal(ftruncate(file, 4096), 0);
        close(file);
        struct result result = run(WITHOUT_SHIM, NO_ENV,
                                   CMD(strace(), "-f", "-qq", "-o", log, "-E", text("LD_PRELOAD=%s", shim()), "-E",
                                       use_hostmem(), "-E", text("NCCL_REDIRECT_TRACE=%s", folder),
                                       program("linked_calls"), counters, "1", i ? "300000" : "1000"));
        if (result.status == 127) {
            print_message("skipped: no strace here\n");
            result_free(&result);
            return;
        }
        assert_int_equal(result.status, 0);
        char *text_of_log = ncr_file_text(log, 1 << 20);
        counts[i] = lines(text_of_log);
        free(text_of_log);
        result_free(&result);
    }
    /* 299,000 calls more; the threads may wait for each other differently, and a clock pair may ask the kernel */
    assert_in_range(counts[1] + 5, counts[0], counts[0] + 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_there_with_its_arguments),
        cmocka_unit_test(handles_that_come_later_are_known),
        cmocka_unit_test(whatever_makes_them),
        cmocka_unit_test(two_nccls_and_captures_are_told_apart),
        cmocka_unit_test(off_there_is_no_file_and_no_stub),
        cmocka_unit_test(a_wrong_value_is_an_error_line),
        cmocka_unit_test(programs_do_not_notice),
        cmocka_unit_test(a_folder_that_cannot_be_is_one_line),
        cmocka_unit_test(a_full_file_system_is_one_line),
        cmocka_unit_test(the_standard_folder_is_ours_or_not_used),
        cmocka_unit_test(a_file_is_for_its_owner_alone),
        cmocka_unit_test(a_recorded_call_makes_no_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
