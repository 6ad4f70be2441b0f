/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process has recorded is whole at every instant: while it runs, is stopped, and after it was killed, aborted, or
 * ran out of memory.
 */
#include "support.h"

#include "trace.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct victim {
    int pid;
    volatile uint64_t *counters;
    const char *folder;
};

/* `prepare`, if not NULL, is called in the child with `arg`; such a victim eats memory. */
static void start_prepared(struct victim *victim, unsigned threads, void (*prepare)(const char *arg), const char *arg) {
    victim->folder = fresh_folder();
    const char *file = text("%s/counters", victim->folder);
    int out[2], counters = open(file, O_CREAT | O_RDWR, 0600);
    assert_int_equal(ftruncate(counters, 4096), 0);
    victim->counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, counters, 0);
    close(counters);
    assert_int_equal(pipe(out), 0);
    victim->pid = fork();
    if (victim->pid == 0) {
        dup2(out[1], 1);
        setenv("LD_PRELOAD", shim(), 1);
        setenv("NCCL_REDIRECT", hostmem("plain"), 1);
        setenv("NCCL_REDIRECT_TRACE", victim->folder, 1);
        setenv("NCCL_REDIRECT_TRACE_RECORDS", "1024", 1);
        if (prepare)
            prepare(arg);
        execl(program("linked_calls"), "linked_calls", file, text("%u", threads), prepare ? "eat" : NULL, NULL);
        _exit(127);
    }
    char ready[8];
    close(out[1]);
    assert_true(read(out[0], ready, 6) > 0);
    close(out[0]);
}

static void start(struct victim *victim, unsigned threads) {
    start_prepared(victim, threads, NULL, NULL);
}

static void sleep_us(unsigned us) {
    nanosleep(&(struct timespec){0, us * 1000L}, NULL);
}

/* No record is torn: each has the arguments that its number on the communicator demands. */
static void check_records(const struct trace_file *file, const struct trace_record *records, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct trace_record *record = &records[i];
        if (record->function != TRACE_ncclAllReduce)
            continue;
        assert_int_equal(record->count, 1 + (record->call - 1) % 4);
        assert_int_equal(record->type, 7);
        assert_int_equal(record->op, TRACE_SUM);
        assert_int_equal(record->result, 0);
        assert_true(record->leave > record->enter);
        assert_true(record->comm < file->comm_count);
        assert_true(record->enter >= file->comms[record->comm].enter);
    }
}

static uint64_t total_calls(const struct trace_file *file) {
    unsigned rows;
    uint64_t calls = 0;
    struct trace_total *totals = trace_file_table(file, TRACE_TABLE_TOTALS, sizeof *totals, &rows);
    for (unsigned i = 0; i < rows; i++)
        if (totals[i].key && (uint8_t)(totals[i].key >> 24) == TRACE_ncclAllReduce)
            calls += totals[i].calls;
    free(totals);
    return calls;
}

static struct trace_file *open_only(const char *folder) {
    struct trace_file *file = NULL;
    char *why = NULL;
    DIR *all = opendir(folder);
    for (struct dirent *entry; (entry = readdir(all));)
        if (strstr(entry->d_name, TRACE_SUFFIX))
            file = trace_file_open(text("%s/%s", folder, entry->d_name), &why);
    closedir(all);
    if (!file)
        fail_msg("no readable trace: %s", why ? why : "none");
    return file;
}

/* After a death: what the file says against what the program counted. Each thread may have been between the two. */
static void check_dead(const struct victim *victim, unsigned threads, enum trace_life life) {
    struct trace_file *file = open_only(victim->folder);
    struct trace_record *records = NULL;
    size_t room = 0, count = trace_file_ring(file, &records, &room);
    uint64_t counted = 0, written = 0, newest[64] = {0};
    assert_int_equal(file->life, life);
    check_records(file, records, count);
    for (unsigned i = 0; i < threads; i++)
        counted += victim->counters[8 * i];
    for (size_t i = 0; i < count; i++) {
        uint64_t number = TRACE_NUMBER_OF(records[i].sequence), *most = &newest[TRACE_THREAD_OF(records[i].sequence)];
        *most = number > *most ? number : *most;
    }
    for (unsigned i = 0; i < 64 && i < file->thread_count; i++) {
        uint64_t here = file->threads[i].written;
        written += newest[i] > here ? newest[i] : here;
        assert_true(newest[i] <= here + 1);
        assert_true(newest[i] >= here); /* the tail is complete: a thread's newest record is always there */
    }
    written -= 2 * threads; /* unique ids and creations */
    assert_true(written >= counted && written <= counted + threads);
    assert_true(total_calls(file) >= counted && total_calls(file) <= counted + threads);
    assert_true(count <= 1024 && count + 32 * (threads + 1) >= (written < 1024 ? written : 1024));
    free(records);
    trace_file_close(file);
}

static void a_killed_process_leaves_a_whole_file(void **state) {
    (void)state;
    unsigned times = getenv("NCR_KILLS") ? (unsigned)atoi(getenv("NCR_KILLS")) : 60;
    for (unsigned i = 0; i < times; i++) {
        struct victim victim;
        unsigned threads = 1 + i % 3;
        start(&victim, threads);
        sleep_us((i * 7919) % 5000);
        kill(victim.pid, i % 4 == 3 ? SIGABRT : SIGKILL);
        waitpid(victim.pid, NULL, 0);
        check_dead(&victim, threads, TRACE_GONE);
        munmap((void *)victim.counters, 4096);
        struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/rm", "-r", victim.folder));
        result_free(&result);
    }
}

/* ---- death for lack of memory ---- */

static bool sanitized(void) {
#if defined(__SANITIZE_ADDRESS__)
    return true;
#else
    return false;
#endif
}

static void limit_addresses(const char *arg) {
    (void)arg;
    setrlimit(RLIMIT_AS, &(struct rlimit){150 << 20, 150 << 20});
}

static void join_group(const char *group) {
    write_file(text("%s/cgroup.procs", group), "0");
}

/* A control group of 48 MiB without swap, of either version; NULL where none can be made. */
static const char *make_group(void) {
    static const char *const forms[][3] = {
        {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"},
        {"/sys/fs/cgroup", "memory.max", "memory.swap.max"}};
    for (unsigned i = 0; i < 2; i++) {
        const char *group = text("%s/nccl-redirect-test-%d", forms[i][0], (int)getpid());
        if (mkdir(group, 0755) != 0)
            continue;
        int limit = open(text("%s/%s", group, forms[i][1]), O_WRONLY);
        int swap = open(text("%s/%s", group, forms[i][2]), O_WRONLY);
        bool set = limit >= 0 && write(limit, "50331648", 8) == 8;
        if (swap >= 0 && (i == 0 ? write(swap, "50331648", 8) : write(swap, "0", 1)) < 0)
            set = false;
        close(limit);
        close(swap);
        if (set)
            return group;
        rmdir(group);
    }
    return NULL;
}

static void starve(unsigned times, int signal, void (*prepare)(const char *), const char *arg) {
    for (unsigned i = 0; i < times; i++) {
        struct victim victim;
        unsigned threads = 1 + i % 3;
        int status;
        start_prepared(&victim, threads, prepare, arg);
        assert_int_equal(waitpid(victim.pid, &status, 0), victim.pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signal);
        check_dead(&victim, threads, TRACE_GONE);
        munmap((void *)victim.counters, 4096);
        struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/rm", "-r", victim.folder));
        result_free(&result);
    }
}

static void a_process_without_memory_leaves_a_whole_file(void **state) {
    (void)state;
    if (sanitized()) {
        print_message("skipped: a sanitizer needs more addresses than the limit\n");
        return;
    }
    starve(6, SIGABRT, limit_addresses, NULL);
}

static void the_kernels_killer_leaves_a_whole_file(void **state) {
    (void)state;
    const char *group = sanitized() ? NULL : make_group();
    if (!group) {
        print_message("skipped: %s\n", sanitized() ? "a sanitizer needs more memory than the limit"
                                                   : "no control group with a limit of memory can be made here");
        return;
    }
    starve(6, SIGKILL, join_group, group);
    for (unsigned i = 0; i < 100 && rmdir(group) != 0; i++)
        sleep_us(10000);
}

static void a_running_or_stopped_process_is_read_whole(void **state) {
    (void)state;
    struct victim victim;
    start(&victim, 3);
    while (victim.counters[0] < 4096) /* the ring is full by then */
        sleep_us(1000);
    for (unsigned i = 0; i < 300; i++) {
        if (i % 3 == 1)
            kill(victim.pid, SIGSTOP);
        if (i % 3 == 1)
            assert_int_equal(waitpid(victim.pid, NULL, WUNTRACED), victim.pid); /* all threads have stopped */
        struct trace_file *file = open_only(victim.folder);
        struct trace_record *records = NULL;
        size_t room = 0, count = trace_file_ring(file, &records, &room);
        check_records(file, records, count);
        if (i % 3 == 1)
            assert_true(count >= 900);
        free(records);
        trace_file_close(file);
        kill(victim.pid, SIGCONT);
    }
    kill(victim.pid, SIGKILL);
    waitpid(victim.pid, NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_process_leaves_a_whole_file),
        cmocka_unit_test(a_process_without_memory_leaves_a_whole_file),
        cmocka_unit_test(the_kernels_killer_leaves_a_whole_file),
        cmocka_unit_test(a_running_or_stopped_process_is_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
