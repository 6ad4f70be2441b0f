/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a job: folders, single files, every host's. */
#include "trace.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *format(const char *pattern, ...) NCR_PRINTF(1, 2);
static char *format(const char *pattern, ...) {
    struct ncr_text text = {0};
    va_list list;
    va_start(list, pattern);
    ncr_text_add_list(&text, pattern, list);
    va_end(list);
    return text.data;
}

/** Where the recorder writes when no folder is named. */
char *trace_standard_folder(void) {
    return format("/dev/shm/nccl-redirect-%u", (unsigned)getuid());
}

static void refuse(struct trace_set *set, const char *path, char *why) {
    set->refused = trace_more(set->refused, set->refused_count, sizeof *set->refused);
    set->refused[set->refused_count].path = strdup(path);
    set->refused[set->refused_count++].why = why;
}

static unsigned host_of(const struct trace_set *set, const struct trace_file *file) {
    for (unsigned i = 0; i < set->count; i++)
        if (strcmp(set->files[i]->header.boot_id, file->header.boot_id) == 0 &&
            (*file->header.boot_id || strcmp(set->files[i]->host, file->host) == 0))
            return set->files[i]->host_index;
    return set->hosts;
}

/*
 * The same process may be there twice: in the folder and in a copy that was collected. The one with more records is
 * kept.
 */
static bool is_known(const struct trace_set *set, const struct trace_file *file) {
    for (unsigned i = 0; i < set->count; i++) {
        const struct trace_header *one = &set->files[i]->header, *other = &file->header;
        if (one->pid == other->pid && one->started == other->started && one->opened.ticks == other->opened.ticks &&
            strcmp(one->boot_id, other->boot_id) == 0)
            return true;
    }
    return false;
}

static unsigned add_file(struct trace_set *set, const char *path) {
    char *why;
    struct trace_file *file = trace_file_open(path, &why);
    if (!file) {
        refuse(set, path, why);
        return 1;
    }
    if (is_known(set, file)) {
        trace_file_close(file);
        return 1;
    }
    file->host_index = host_of(set, file);
    if (file->host_index == set->hosts)
        set->hosts++;
    set->files = trace_more(set->files, set->count, sizeof *set->files); /* NOLINT(bugprone-sizeof-expression) */
    set->files[set->count++] = file;
    return 1;
}

static bool has_suffix(const char *name) {
    size_t length = strlen(name), suffix = sizeof TRACE_SUFFIX - 1;
    return length > suffix && strcmp(name + length - suffix, TRACE_SUFFIX) == 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A folder itself, not a link to one. */
static bool is_folder(const char *path) {
    struct stat status;
    char *target = ncr_file_link(path);
    free(target);
    return !target && ncr_file_status(path, &status) && S_ISDIR(status.st_mode);
}

/* Folders of folders too: collected traces stand in one folder per host. */
static unsigned add_folder(struct trace_set *set, const char *path, unsigned depth) {
    DIR *folder = opendir(path);
    char **names = NULL;
    unsigned count = 0, found = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        names = trace_more(names, count, sizeof *names);
        names[count++] = format("%s/%s", path, entry->d_name);
    }
    if (!folder)
        refuse(set, path, strdup(strerror(errno)));
    else
        closedir(folder);
    if (count)
        qsort(names, count, sizeof *names, by_name);
    for (unsigned i = 0; i < count; i++) {
        if (has_suffix(names[i]))
            found += add_file(set, names[i]);
        else if (depth < 3 && is_folder(names[i]))
            found += add_folder(set, names[i], depth + 1);
        free(names[i]);
    }
    free(names);
    return found;
}

/** Adds the traces below `path`, or the trace that it is. Returns how many there were, readable or not. */
unsigned trace_set_add(struct trace_set *set, const char *path) {
    struct stat status;
    if (!ncr_file_status(path, &status)) {
        refuse(set, path, strdup(strerror(errno)));
        return 0;
    }
    return S_ISDIR(status.st_mode) ? add_folder(set, path, 0) : add_file(set, path);
}

/** Drops the files that are not wanted. Before communicators are joined. */
void trace_set_keep(struct trace_set *set, const bool *wanted) {
    unsigned kept = 0;
    for (unsigned i = 0; i < set->count; i++) {
        if (wanted[i])
            set->files[kept++] = set->files[i];
        else
            trace_file_close(set->files[i]);
    }
    set->count = kept;
}

void trace_set_close(struct trace_set *set) {
    trace_match_free(set);
    trace_comms_free(set);
    for (unsigned i = 0; i < set->count; i++)
        trace_file_close(set->files[i]);
    for (unsigned i = 0; i < set->refused_count; i++) {
        free(set->refused[i].path);
        free(set->refused[i].why);
    }
    free(set->files);
    free(set->refused);
    *set = (struct trace_set){0};
}
