/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands share that read traces (trace/). */
#ifndef NCR_CLI_TRACES_H
#define NCR_CLI_TRACES_H

#include "cli.h"
#include "trace.h"

enum { EXIT_NO_TRACE = 3 }; /* there is no trace */

/* traces.c */

/* Opens the traces that the arguments name; those of the current job where they name none. */
unsigned traces_open(struct trace_set *set, char **names, bool current);
void traces_keep_ranks(struct trace_set *set);
void traces_match(struct trace_set *set);
void traces_explain_absence(const struct trace_set *set, char **names);
struct json *findings_json(const struct trace_set *set, const struct trace_findings *findings);
void progress_print(void *arg, const char *what, unsigned done, unsigned all);

/* watch.c */

bool watch_limit(const char *text, double *limit);
int run_watched(int (*become)(const struct command *command), const struct command *command, double limit);

/* ras_client.c */

int ras_hang(const struct request *request);

/* collect.c, export_*.c: what `trace export` and `trace collect` write */

int trace_collect(const struct trace_set *set, FILE *to);
int export_chrome(struct trace_set *set, FILE *to);
int export_json(struct trace_set *set, const struct trace_findings *findings, FILE *to);
int export_html(struct trace_set *set, const struct trace_findings *findings, FILE *to);
int export_torch(struct trace_set *set, const char *folder);

#endif
