/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page for people who were not there: what was found, and how late each rank came to collectives over time. One file,
 * without scripts and without anything from elsewhere, so that it can be sent and kept.
 */
#include "traces.h"

#include <stdlib.h>
#include <string.h>

static const unsigned COLUMNS = 120, MOST_ROWS = 256, CELL_WIDTH = 7, LEFT = 150, TOP = 24;

struct picture {
    struct trace_set *set;
    int64_t begin, end;
    unsigned rows, ranks_per_row;
    float *late; /* the worst lateness of each cell, ms; negative: no call */
    double *sum; /* of each file, ns */
    uint64_t *calls;
};

static void put_escaped(FILE *to, const char *text) {
    for (; *text; text++) {
        const char *entity = *text == '<'   ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '&' ? "&amp;"
                             : *text == '"' ? "&quot;"
                                            : NULL;
        if (entity)
            fputs(entity, to);
        else
            putc(*text, to);
    }
}

/* How much later than the first rank this one came; negative if that cannot be said. */
static double lateness(const struct trace_set *set, const struct trace_file *file, const struct trace_record *record) {
    if (record->comm == TRACE_NO_COMM || !record->call || !trace_is_collective(record->function))
        return -1;
    const struct trace_instance *instance =
        trace_pages_item(&set->matching->collectives, file->communicator[record->comm], 0, record->call, false);
    if (!instance || instance->seen < 2)
        return -1;
    double late = (double)(trace_time(file, record->enter) - instance->first_enter);
    return late > 0 ? late : 0;
}

static void take_record(void *arg, unsigned index, const struct trace_record *record) {
    struct picture *picture = arg;
    const struct trace_file *file = picture->set->files[index];
    double late = lateness(picture->set, file, record);
    int64_t at = trace_time(file, record->enter) - picture->begin, all = picture->end - picture->begin;
    if (late < 0 || at < 0 || at > all)
        return;
    unsigned column = (unsigned)((double)at * COLUMNS / ((double)all + 1));
    float *cell = &picture->late[index / picture->ranks_per_row * COLUMNS + column];
    float ms = (float)(late / 1e6);
    *cell = ms > *cell ? ms : *cell;
    picture->sum[index] += late;
    picture->calls[index]++;
}

/* In steps of ten, from 10 us, which is no lateness, to 10 s. */
static const char *colour_of(float ms) {
    static const char *const colours[] = {"#eef5ee", "#d5e8c8", "#f7e9a0", "#f6c667", "#ee9446", "#dd5f3c", "#b22a2e"};
    static const float limits[] = {0.01f, 0.1f, 1, 10, 100, 1000};
    unsigned index = 0;
    while (index < 6 && ms > limits[index])
        index++;
    return colours[index];
}

static const char *name_of(const struct trace_file *file) {
    return file->global_rank >= 0 ? formatted("rank %d (%s)", file->global_rank, file->host)
                                  : formatted("%s, pid %d", file->host, file->header.pid);
}

static void write_picture(const struct picture *picture, FILE *to) {
    unsigned height = picture->rows > 64 ? 6 : 14;
    fprintf(to, "<svg viewBox=\"0 0 %u %u\" role=\"img\" aria-label=\"lateness of ranks over time\">\n",
            LEFT + COLUMNS * CELL_WIDTH + 10, TOP + picture->rows * height + 24);
    for (unsigned row = 0; row < picture->rows; row++) {
        unsigned y = TOP + row * height;
        if (height > 8 || row % 8 == 0) {
            fprintf(to, "<text x=\"%u\" y=\"%u\" text-anchor=\"end\">", LEFT - 6, y + height - 3);
            put_escaped(to, name_of(picture->set->files[row * picture->ranks_per_row]));
            fputs("</text>\n", to);
        }
        for (unsigned column = 0; column < COLUMNS; column++) {
            float ms = picture->late[row * COLUMNS + column];
            if (ms >= 0)
                fprintf(
                    to,
                    "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" fill=\"%s\"><title>%.3f ms late</title></rect>\n",
                    LEFT + column * CELL_WIDTH, y, CELL_WIDTH, height - 1, colour_of(ms), (double)ms);
        }
    }
    double seconds = (double)(picture->end - picture->begin) / 1e9;
    for (unsigned i = 0; i <= 4; i++)
        fprintf(to, "<text x=\"%u\" y=\"%u\" text-anchor=\"%s\">%.2f s</text>\n", LEFT + i * COLUMNS * CELL_WIDTH / 4,
                TOP - 8,
                i == 0   ? "start"
                : i == 4 ? "end"
                         : "middle",
                seconds * i / 4);
    fputs("</svg>\n<p class=\"scale\">later than the first rank by: ", to);
    static const float steps[] = {0.01f, 0.1f, 1, 10, 100, 1000, 10000};
    static const char *const words[] = {"10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s"};
    for (unsigned i = 0; i < 7; i++)
        fprintf(to, "<span style=\"background:%s\">%s</span> ", colour_of(steps[i] * 0.99f), words[i]);
    fputs("</p>\n", to);
}

static void write_findings(const struct trace_findings *findings, FILE *to) {
    fputs("<table><tr><th>finding</th><th>what</th><th>certainty</th></tr>\n", to);
    for (unsigned i = 0; i < findings->count && i < 200; i++) {
        const struct trace_finding *finding = &findings->list[i];
        fprintf(to, "<tr><td class=\"%s\">%s</td><td>", finding->kind == TRACE_NOTHING_WRONG ? "good" : "bad",
                trace_kind_name(finding->kind));
        put_escaped(to, ncr_text_get(&finding->sentence));
        fprintf(to, "</td><td>%s", trace_certainty_name(finding->certainty));
        if (finding->doubts.length)
            fputs(": ", to);
        put_escaped(to, ncr_text_get(&finding->doubts));
        fputs("</td></tr>\n", to);
    }
    fputs("</table>\n", to);
}

static void write_ranks(const struct picture *picture, FILE *to) {
    static const char *const lives[] = {"unknown", "running", "stopped", "exited", "gone"};
    fputs("<table><tr><th>rank</th><th>process</th><th>calls recorded</th><th>late on average</th></tr>\n", to);
    for (unsigned i = 0; i < picture->set->count; i++) {
        const struct trace_file *file = picture->set->files[i];
        fputs("<tr><td>", to);
        put_escaped(to, name_of(file));
        fprintf(to, "</td><td>pid %d, %s</td><td>%llu of %llu</td><td>", file->header.pid, lives[file->life],
                (unsigned long long)file->kept, (unsigned long long)file->made);
        if (picture->calls[i])
            fprintf(to, "%.3f ms</td></tr>\n", picture->sum[i] / (double)picture->calls[i] / 1e6);
        else
            fputs("-</td></tr>\n", to);
    }
    fputs("</table>\n", to);
}

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>NCCL calls of a job</title>\n<style>\n"
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1060px;margin:2em auto;padding:0 1em;color:#222}\n"
    "h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}p.sentence{font-size:1.15em;border-left:4px solid #b22a2e;"
    "padding:.4em .8em;background:#f7f5f3}p.good{border-color:#4a8f4a}table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;vertical-align:top;padding:.35em .6em;border-bottom:1px solid #ddd}td.bad{color:#b22a2e;"
    "white-space:nowrap}td.good{color:#2f6f2f}svg{width:100%}svg text{font-size:10px;fill:#444}\n"
    ".scale span{padding:.1em .5em;font-size:.85em}footer{color:#777;margin-top:2em;font-size:.85em}\n"
    "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}p.sentence{background:#242424}"
    "svg text{fill:#aaa}.scale span{color:#222}th,td{border-color:#333}}\n</style></head><body>\n<h1>NCCL calls of a job</h1>\n";

int export_html(struct trace_set *set, const struct trace_findings *findings, FILE *to) {
    struct picture picture = {.set = set, .begin = INT64_MAX, .end = INT64_MIN};
    picture.ranks_per_row = (set->count + MOST_ROWS - 1) / MOST_ROWS;
    picture.rows = (set->count + picture.ranks_per_row - 1) / picture.ranks_per_row;
    for (unsigned i = 0; i < set->count; i++) {
        const struct trace_file *file = set->files[i];
        int64_t first = file->tail_count ? trace_time(file, file->header.opened.ticks) : picture.begin;
        picture.begin = first < picture.begin ? first : picture.begin;
        picture.end = file->newest > picture.end ? file->newest : picture.end;
    }
    picture.late = trace_take((size_t)picture.rows * COLUMNS, sizeof *picture.late);
    for (unsigned i = 0; i < picture.rows * COLUMNS; i++)
        picture.late[i] = -1;
    picture.sum = trace_take(set->count, sizeof *picture.sum);
    picture.calls = trace_take(set->count, sizeof *picture.calls);
    trace_each_record(set, take_record, &picture);
    fputs(head, to);
    fprintf(to, "<p class=\"sentence%s\">", findings->list[0].kind == TRACE_NOTHING_WRONG ? " good" : "");
    put_escaped(to, ncr_text_get(&findings->list[0].sentence));
    fputs("</p>\n<h2>How late ranks come to collectives</h2>\n", to);
    write_picture(&picture, to);
    fputs("<h2>Findings</h2>\n", to);
    write_findings(findings, to);
    fputs("<h2>Ranks</h2>\n", to);
    write_ranks(&picture, to);
    fprintf(to,
            "<footer>%u processes on %u hosts, %llu calls compared; nccl-redirect " NCR_VERSION
            "</footer></body></html>\n",
            set->count, set->hosts, (unsigned long long)set->matching->records);
    return ferror(to) ? EXIT_OUTPUT : EXIT_FINE;
}
