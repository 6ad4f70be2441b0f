/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file: opened, checked, its tables copied. The file may be damaged, cut off, or made with bad intent; it may
 * change while it is read. So it is read, never mapped (a mapping of a file that is cut off ends the reader by SIGBUS),
 * every number is checked against the limits of the format, and every string is terminated and cleaned.
 */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_ROW_BYTES = 1 << 16, MOST_RANKS = 1 << 20 };

static bool read_fully(int descriptor, void *into, size_t size, uint64_t offset) {
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(descriptor, (char *)into + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/*
 * Unprintable characters would control a terminal or break a line of a log, and no JSON reader accepts bytes that are
 * not UTF-8.
 */
void trace_clean_text(char *text) {
    for (size_t length; *text; text += length) {
        length = ncr_text_printable(text, strnlen(text, 4));
        if (!length) {
            *text = '?';
            length = 1;
        }
    }
}

static void end_text(char *text, size_t size) {
    text[size - 1] = '\0';
    trace_clean_text(text);
}

/* Strings one after the other, each ended by NUL. */
static void end_texts(char *texts, size_t size) {
    texts[size - 1] = texts[size - 2] = '\0';
    for (char *text = texts; text < texts + size; text++)
        if (*text) {
            trace_clean_text(text);
            text += strlen(text);
        }
}

static char *refuse(const char *format, ...) NCR_PRINTF(1, 2);
static char *refuse(const char *format, ...) {
    struct ncr_text text = {0};
    va_list list;
    va_start(list, format);
    ncr_text_add_list(&text, format, list);
    va_end(list);
    return text.data;
}

static bool table_fits(const struct trace_table *table, uint64_t file_size, unsigned most_rows) {
    uint64_t bytes = (uint64_t)table->rows * table->row_size;
    return table->rows <= most_rows && table->row_size <= MOST_ROW_BYTES && table->offset <= file_size &&
           bytes <= file_size - table->offset;
}

static char *check_tables(const struct trace_header *header, uint64_t file_size) {
    static const struct {
        const char *name;
        unsigned most;
    } tables[TRACE_TABLES] = {
        {"communicators", 0xffff}, {"threads", 0xffff}, {"totals", 1 << 20}, {"peers", 1 << 20},
        {"callers", 255},          {"libraries", 255},  {"blocks", 1 << 20}, {"ring", TRACE_MOST_RECORDS}};
    for (unsigned i = 0; i < TRACE_TABLES; i++)
        if (!table_fits(&header->tables[i], file_size, tables[i].most))
            return refuse(
                "its table of %s reaches beyond the file or has impossible sizes: it is damaged, or was cut off",
                tables[i].name);
    if (header->tables[TRACE_TABLE_RING].row_size != sizeof(struct trace_record))
        return refuse("its records have %u bytes, not %zu: it is damaged", header->tables[TRACE_TABLE_RING].row_size,
                      sizeof(struct trace_record));
    return NULL;
}

static char *check_header(const struct trace_header *header, uint64_t file_size) {
    if (memcmp(header->magic, TRACE_MAGIC, sizeof header->magic) != 0)
        return refuse("it is not a trace of nccl-redirect, or one whose writer ended before it was ready");
    if (header->order != TRACE_ORDER)
        return refuse("it was written on a machine with another byte order");
    if (header->major != TRACE_MAJOR)
        return refuse(
            "its format is version %u.%u, this tool reads %u.x: use the tool that came with the preload library",
            header->major, header->minor, TRACE_MAJOR);
    return check_tables(header, file_size);
}

static void clean_header(struct trace_header *header) {
    end_text(header->host, sizeof header->host);
    end_text(header->boot_id, sizeof header->boot_id);
    end_text(header->product, sizeof header->product);
    end_text(header->program, sizeof header->program);
    end_text(header->active_path, sizeof header->active_path);
    end_text(header->active_build_id, sizeof header->active_build_id);
    end_texts(header->command, sizeof header->command);
    end_texts(header->environment, sizeof header->environment);
}

/**
 * A copy of a table, with rows as this reader knows them: shorter ones are filled up with zeros, longer ones cut.
 * NULL if it cannot be read.
 */
void *trace_file_table(const struct trace_file *file, enum trace_table_name name, size_t row_size, unsigned *rows) {
    const struct trace_table *table = &file->header.tables[name];
    char *copy = trace_take(table->rows, row_size);
    size_t theirs = table->row_size, common = theirs < row_size ? theirs : row_size;
    char *raw = theirs == row_size ? copy : trace_take(table->rows, theirs);
    bool good = read_fully(file->descriptor, raw, table->rows * theirs, table->offset);
    for (unsigned i = 0; raw != copy && i < table->rows; i++)
        memcpy(copy + i * row_size, raw + i * theirs, common);
    if (raw != copy)
        free(raw);
    *rows = good ? table->rows : 0;
    return copy;
}

static void clean_comms(struct trace_file *file) {
    unsigned last = 0;
    for (unsigned i = 0; i < file->comm_count; i++) {
        struct trace_comm *comm = &file->comms[i];
        end_text(comm->name, sizeof comm->name);
        if (comm->ranks < 1 || comm->ranks > MOST_RANKS)
            comm->ranks = -1;
        if (comm->rank < 0 || comm->rank >= MOST_RANKS || (comm->ranks > 0 && comm->rank >= comm->ranks))
            comm->rank = -1;
        if (comm->identity)
            last = i + 1;
    }
    file->comm_count = last;
}

static void free_tables(struct trace_file *file) {
    free(file->comms);
    free(file->threads);
    free(file->callers);
    free(file->libraries);
}

static void read_tables(struct trace_file *file) {
    file->comms = trace_file_table(file, TRACE_TABLE_COMMS, sizeof *file->comms, &file->comm_count);
    file->threads = trace_file_table(file, TRACE_TABLE_THREADS, sizeof *file->threads, &file->thread_count);
    file->callers = trace_file_table(file, TRACE_TABLE_CALLERS, sizeof *file->callers, &file->caller_count);
    file->libraries = trace_file_table(file, TRACE_TABLE_LIBRARIES, sizeof *file->libraries, &file->library_count);
    clean_comms(file);
    for (unsigned i = 0; i < file->caller_count; i++)
        end_text(file->callers[i].path, sizeof file->callers[i].path);
    for (unsigned i = 0; i < file->library_count; i++) {
        end_text(file->libraries[i].path, sizeof file->libraries[i].path);
        end_text(file->libraries[i].build_id, sizeof file->libraries[i].build_id);
    }
}

static char *read_header(struct trace_file *file) {
    struct stat status;
    if (syscall(SYS_fstat, file->descriptor, &status) != 0)
        return refuse("%s", strerror(errno));
    if (!S_ISREG(status.st_mode))
        return refuse("it is not a regular file");
    if (!read_fully(file->descriptor, &file->header, sizeof file->header, 0))
        return refuse("it has %lld bytes, less than a header: it is not a trace of nccl-redirect, or was cut off",
                      (long long)status.st_size);
    char *why = check_header(&file->header, (uint64_t)status.st_size);
    clean_header(&file->header);
    return why;
}

static void read_all(struct trace_file *file) {
    read_tables(file);
    file->ring_count = file->header.tables[TRACE_TABLE_RING].rows;
    file->life = trace_life(file);
    trace_clock_read(file);
}

/** Opens and checks a file. NULL with *why, a clause that starts with "it" or is an error message. */
struct trace_file *trace_file_open(const char *path, char **why) {
    struct trace_file *file = trace_take(1, sizeof *file);
    file->path = strdup(path);
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    *why = file->descriptor < 0 ? refuse("%s", strerror(errno)) : read_header(file);
    if (*why) {
        trace_file_close(file);
        return NULL;
    }
    read_all(file);
    file->host = *file->header.host ? file->header.host : "an unnamed host";
    file->global_rank = trace_find_rank(file);
    return file;
}

/** Reads header and tables again; false if the file can no longer be read. */
bool trace_file_reread(struct trace_file *file) {
    char *why = read_header(file);
    free(why);
    if (why)
        return false;
    free_tables(file);
    read_all(file);
    return true;
}

void trace_file_close(struct trace_file *file) {
    if (file->descriptor >= 0)
        close(file->descriptor);
    free_tables(file);
    free(file->tail);
    free(file->peers);
    free(file->communicator);
    free(file->member);
    free(file->path);
    free(file);
}

static bool is_whole(const struct trace_file *file, const struct trace_record *record) {
    return record->sequence && record->function != TRACE_NO_FUNCTION && TRACE_NUMBER_OF(record->sequence) &&
           TRACE_THREAD_OF(record->sequence) < file->thread_count;
}

/* A row of the table is used again for a later communicator when the table is full: older records are not about that one. */
static void check_comm(const struct trace_file *file, struct trace_record *record) {
    if (record->comm != TRACE_NO_COMM && (record->comm >= file->comm_count || !file->comms[record->comm].identity ||
                                          record->enter < file->comms[record->comm].enter))
        record->comm = TRACE_NO_COMM;
}

/**
 * The whole records of the ring, in no order; `records` is grown to *room. Of a process that runs, a record counts if two
 * readings agree on it (format.h says why that is enough). Returns how many.
 */
size_t trace_file_ring(const struct trace_file *file, struct trace_record **records, size_t *room) {
    size_t rows = file->ring_count, bytes = rows * sizeof **records;
    bool twice = file->life == TRACE_RUNNING || file->life == TRACE_LIFE_UNKNOWN;
    if (*room < 2 * rows) {
        free(*records);
        *records = trace_take(2 * rows, sizeof **records);
        *room = 2 * rows;
    }
    struct trace_record *list = *records, *again = list + rows;
    uint64_t offset = file->header.tables[TRACE_TABLE_RING].offset;
    if (!read_fully(file->descriptor, list, bytes, offset) ||
        (twice && !read_fully(file->descriptor, again, bytes, offset)))
        return 0;
    size_t whole = 0;
    for (size_t i = 0; i < rows; i++) {
        if (!is_whole(file, &list[i]) || (twice && memcmp(&list[i], &again[i], sizeof *list) != 0))
            continue;
        list[whole] = list[i];
        check_comm(file, &list[whole++]);
    }
    return whole;
}

/** A variable of the traced process, as far as it was recorded; NULL if it was not set. */
const char *trace_file_variable(const struct trace_file *file, const char *name) {
    const char *end = file->header.environment + sizeof file->header.environment;
    size_t length = strlen(name);
    for (const char *at = file->header.environment; at < end && *at; at += strlen(at) + 1)
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return at + length + 1;
    return NULL;
}
