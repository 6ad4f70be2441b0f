/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect top: the traced processes of this host, live. Only reads; a terminal is left as it was found. */
#include "traces.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { EVERY_MS = 1000 };

static volatile sig_atomic_t ended;

static void end(int signal) {
    (void)signal;
    ended = 1;
}

/* What a process had done at the last look. */
struct look {
    int pid;
    uint64_t opened, calls, bytes;
    double late_ns; /* sum over the collectives of the tail */
    unsigned late_calls;
};

struct looks {
    struct look *list;
    unsigned count;
    int64_t at; /* CLOCK_MONOTONIC, ns */
};

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct look look_at(const struct trace_set *set, const struct trace_file *file) {
    struct look look = {.pid = file->header.pid, .opened = file->header.opened.ticks};
    unsigned rows;
    struct trace_total *totals = trace_file_table(file, TRACE_TABLE_TOTALS, sizeof *totals, &rows);
    for (unsigned i = 0; i < rows; i++) {
        look.calls += totals[i].key ? totals[i].calls : 0;
        look.bytes += totals[i].key ? totals[i].bytes : 0;
    }
    free(totals);
    for (unsigned i = 0; i < file->tail_count; i++) {
        const struct trace_record *record = &file->tail[i];
        if (record->comm == TRACE_NO_COMM || !record->call || !trace_is_collective(record->function))
            continue;
        const struct trace_instance *instance =
            trace_pages_item(&set->matching->collectives, file->communicator[record->comm], 0, record->call, false);
        if (!instance || instance->seen < 2)
            continue;
        look.late_ns += (double)(trace_time(file, record->enter) - instance->first_enter);
        look.late_calls++;
    }
    return look;
}

static const struct look *earlier(const struct looks *looks, const struct look *look) {
    for (unsigned i = 0; i < looks->count; i++)
        if (looks->list[i].pid == look->pid && looks->list[i].opened == look->opened)
            return &looks->list[i];
    return NULL;
}

static const char *rate_text(double per_second) {
    return per_second >= 1e6   ? formatted("%.1fM", per_second / 1e6)
           : per_second >= 1e4 ? formatted("%.0fk", per_second / 1e3)
                               : formatted("%.0f", per_second);
}

static const char *bytes_text(double bytes) {
    static const char *const units[] = {"B", "K", "M", "G", "T"};
    unsigned unit = 0;
    for (; bytes >= 1000 && unit < 4; unit++)
        bytes /= 1024;
    return formatted(bytes < 10 && unit ? "%.1f%s" : "%.0f%s", bytes, units[unit]);
}

static const char *call_text(const struct trace_set *set, const struct trace_file *file,
                             const struct trace_record *record) {
    struct ncr_text text = {0};
    const struct trace_communicator *comm = trace_comm_of(set, file, record);
    trace_say_call(&text, record->function, record->call);
    if (comm)
        ncr_text_add(&text, " on %s", comm->label);
    return ncr_text_get(&text);
}

static void print_file(const struct trace_set *set, const struct trace_file *file, const struct look *look,
                       const struct look *before, double seconds) {
    static const char *const lives[] = {"?", "", "stopped", "exited", "gone"};
    const struct trace_record *record = file->tail_count ? &file->tail[file->tail_count - 1] : NULL;
    bool inside = file->inside_count > 0;
    struct ncr_text since = {0};
    if (record)
        trace_say_duration(&since, trace_set_now(set) - trace_time(file, inside ? record->enter : record->leave));
    enum tone tone = file->life == TRACE_STOPPED ? BAD : inside ? DOUBTFUL : PLAIN;
    line_add(PLAIN, "%5s %8d  ", file->global_rank >= 0 ? formatted("%d", file->global_rank) : "-", file->header.pid);
    line_add(tone, "%-7s %9s  %-40s",
             inside               ? "in"
             : *lives[file->life] ? lives[file->life]
                                  : "out",
             ncr_text_get(&since), record ? start_of(40, call_text(set, file, record)) : "no call yet");
    double calls = before ? (double)(look->calls - before->calls) / seconds : 0;
    double bytes = before ? (double)(look->bytes - before->bytes) / seconds : 0;
    line_add(PLAIN, " %8s %8s", before ? rate_text(calls) : "-", before ? bytes_text(bytes) : "-");
    line_add(PLAIN, " %10s", look->late_calls ? formatted("%.1f", look->late_ns / look->late_calls / 1000) : "-");
    line_end(0, 0);
    ncr_text_free(&since);
}

static void take_looks(const struct request *request, struct trace_set *set, struct looks *looks) {
    *looks = (struct looks){NULL, 0, now_ns()};
    traces_open(set, request->rest, true);
    traces_match(set);
    for (unsigned i = 0; i < set->count; i++) {
        looks->list = trace_more(looks->list, looks->count, sizeof *looks->list);
        looks->list[looks->count++] = look_at(set, set->files[i]);
    }
}

/* One snapshot; what was seen goes into `looks` for the next. */
static void print_picture(const struct request *request, struct looks *looks, unsigned lines) {
    struct trace_set set;
    struct looks now;
    unsigned shown = 0;
    take_looks(request, &set, &now);
    double seconds = (double)(now.at - looks->at) / 1e9;
    line_print(0, "%5s %8s  %-7s %9s  %-40s %8s %8s %10s", "rank", "pid", "NCCL", "since", "call", "calls/s", "bytes/s",
               "late (us)");
    for (unsigned i = 0; i < set.count; i++) {
        if (!set.files[i]->comm_count || ++shown + 2 > lines)
            continue;
        print_file(&set, set.files[i], &now.list[i], earlier(looks, &now.list[i]), seconds);
    }
    if (shown + 2 > lines)
        line_print(0, "and %u more", shown + 2 - lines);
    trace_set_close(&set);
    free(looks->list);
    *looks = now;
}

static unsigned terminal_lines(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 4 ? size.ws_row : 1000;
}

static void sleep_between(void) {
    for (unsigned i = 0; i < EVERY_MS / 50 && !ended; i++)
        nanosleep(&(struct timespec){0, 50000000}, NULL);
}

int subcommand_top(struct request *request) {
    struct looks looks;
    struct trace_set set;
    bool live = !request->once && isatty(STDOUT_FILENO);
    if (!traces_open(&set, request->rest, true)) {
        traces_explain_absence(&set, request->rest);
        return EXIT_NO_TRACE;
    }
    trace_set_close(&set);
    take_looks(request, &set, &looks);
    trace_set_close(&set);
    if (!live) {
        sleep_between();
        print_picture(request, &looks, 100000);
        return EXIT_FINE;
    }
    signal(SIGINT, end);
    signal(SIGTERM, end);
    fputs("\033[?1049h\033[?25l", stdout); /* the other screen, no cursor */
    while (!ended) {
        fputs("\033[H\033[J", stdout);
        print_picture(request, &looks, terminal_lines());
        fflush(stdout);
        sleep_between();
    }
    fputs("\033[?25h\033[?1049l", stdout);
    return EXIT_FINE;
}
