/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of NCCL's RAS, as text and as JSON, of NCCL 2.24 to 2.32 (user guide, chapter RAS; ncclras; the answers in
 * tests/ras). JSON is read by its keys alone, in order: that of 2.28.9 lacks a comma where ranks are missing, and a parser
 * would refuse it.
 */
#include "ras.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>

static struct ras_rank *add(struct ras_answer *answer, const char *communicator) {
    answer->list = trace_more(answer->list, answer->count, sizeof *answer->list);
    struct ras_rank *rank = &answer->list[answer->count++];
    *rank = (struct ras_rank){.rank = -1, .pid = -1, .count = -1, .many = 1};
    snprintf(rank->communicator, sizeof rank->communicator, "%s", communicator);
    return rank;
}

static void take_word(char *into, size_t size, const char *from, const char *end_characters) {
    size_t length = strcspn(from, end_characters);
    if (length >= size)
        length = size - 1;
    memcpy(into, from, length);
    into[length] = '\0';
    trace_clean_text(into);
}

/* ---- text ---- */

/* "GPU 1 managed by process 622 on node 192.0.2.2" */
static void take_place(struct ras_rank *rank, const char *text) {
    const char *process = strstr(text, "rocess "), *node = strstr(text, " on node ");
    if (process)
        rank->pid = atoi(process + 7);
    if (node)
        take_word(rank->host, sizeof rank->host, node + 9, " \n");
}

struct section {
    char communicator[32];
    char function[32];
    bool silent, dead, counting;
    long long count; /* of the ranks that are named below, -1 in other sections */
};

/* Lines that begin a part: "#0-0 (hash) MISMATCH", "DEAD", "Communicator ranks have different AllReduce operation counts". */
static void take_heading(struct section *section, const char *line) {
    const char *what = strstr(line, "ranks have different ");
    if (line[0] == '#' && strchr(line, '(')) {
        take_word(section->communicator, sizeof section->communicator, strchr(line, '(') + 1, ")");
        section->silent = strstr(line, "INCOMPLETE") != NULL;
        section->dead = section->counting = false;
    } else if (ncr_begins(line, "INCOMPLETE") || ncr_begins(line, "DEAD")) {
        section->silent = true;
        section->dead = *line == 'D';
        section->counting = false;
        section->communicator[0] = '\0';
    } else if (what) { /* of counts; or of status, which differs while communicators come and go */
        what += strlen("ranks have different ");
        section->counting = strstr(line, "operation counts") != NULL;
        section->silent = false;
        take_word(section->function, sizeof section->function, ncr_begins(what, "collective") ? "" : what, " ");
    }
}

static struct ras_rank *add_count(struct ras_answer *answer, const struct section *section, int rank, long long count) {
    struct ras_rank *one = add(answer, section->communicator);
    memcpy(one->function, section->function, sizeof one->function);
    one->rank = rank;
    one->count = count;
    return one;
}

/* A rank of those that the line before has counted takes the place of one without a name. */
static void name_one_of(struct ras_answer *answer, const struct section *section) {
    for (unsigned i = answer->count; i-- > 0;) {
        struct ras_rank *some = &answer->list[i];
        if (some->rank < 0 && some->count == section->count && strcmp(some->communicator, section->communicator) == 0) {
            some->many -= some->many > 0;
            return;
        }
    }
}

/* "26 ranks have launched up to operation 6650", then "Rank 0 -- GPU 0 managed by …"; or one line for a rank alone. */
static void take_count(struct ras_answer *answer, struct section *section, const char *line) {
    long long count;
    unsigned many;
    int rank;
    if (sscanf(line, " %u rank%*[s] ha%*s launched up to operation %lld", &many, &count) == 2) {
        add_count(answer, section, -1, count)->many = many;
        section->count = count;
    } else if (sscanf(line, " Rank %d has launched up to operation %lld", &rank, &count) == 2) {
        take_place(add_count(answer, section, rank, count), line);
    } else if (sscanf(line, " Rank %d -- ", &rank) == 1) {
        name_one_of(answer, section);
        take_place(add_count(answer, section, rank, section->count), line);
    }
}

static struct ras_rank *add_silent(struct ras_answer *answer, const struct section *section, int rank) {
    struct ras_rank *one = add(answer, section->communicator);
    one->rank = rank;
    one->silent = true;
    one->dead = section->dead;
    return one;
}

/* "Rank 1 -- GPU 1 managed by …", "The missing rank: 21", "Process 798 on node …". */
static void take_silent(struct ras_answer *answer, const struct section *section, const char *line) {
    int rank;
    char *end;
    if (sscanf(line, " Rank %d -- ", &rank) == 1)
        take_place(add_silent(answer, section, rank), line);
    else if (strstr(line, "missing rank"))
        for (const char *at = strchr(line, ':'); at && (rank = (int)strtol(at + 1, &end, 10), end != at + 1);
             at = strchr(end, ','))
            add_silent(answer, section, rank);
    else if (ncr_begins(line, "  Process "))
        take_place(add_silent(answer, section, -1), line);
}

static void take_line(struct ras_answer *answer, struct section *section, const char *line) {
    take_heading(section, line);
    if (section->counting)
        take_count(answer, section, line);
    else if (section->silent)
        take_silent(answer, section, line);
}

static void read_text(struct ras_answer *answer, const char *text) {
    struct section section = {.count = -1};
    char line[512];
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
        take_word(line, sizeof line, text, "\n");
        if (ncr_begins(line, "NCCL version "))
            take_word(answer->version, sizeof answer->version, line + 13, " ");
        take_line(answer, &section, line);
    }
}

/* ---- JSON ---- */

/* The next key and the start of its value; NULL at the end. */
static const char *next_key(const char *at, char key[48], const char **value) {
    while ((at = strchr(at, '"'))) {
        const char *end = strchr(at + 1, '"');
        if (!end)
            return NULL;
        const char *after = end + 1 + strspn(end + 1, " \t\r\n");
        if (*after == ':') {
            size_t length = (size_t)(end - at - 1) < 47 ? (size_t)(end - at - 1) : 47;
            memcpy(key, at + 1, length);
            key[length] = '\0';
            *value = after + 1 + strspn(after + 1, " \t\r\n");
            return **value == '"' ? strchr(*value + 1, '"') ? strchr(*value + 1, '"') + 1 : NULL : *value;
        }
        at = end + 1;
    }
    return NULL;
}

static void text_value(char *into, size_t size, const char *value) {
    take_word(into, size, *value == '"' ? value + 1 : value, "\",}\n");
}

static void read_json(struct ras_answer *answer, const char *text) {
    char key[48], communicator[32] = "";
    bool missing = false, counts = false;
    struct ras_rank one = {.rank = -1};
    const char *value;
    for (const char *at = text; at && (at = next_key(at, key, &value));) {
        if (strcmp(key, "nccl_version") == 0) {
            text_value(answer->version, sizeof answer->version, value);
        } else if (strcmp(key, "hash") == 0) {
            text_value(communicator, sizeof communicator, value);
            answer->communicators++;
            missing = false;
        } else if (strcmp(key, "ranks") == 0 || strcmp(key, "missing_ranks") == 0) {
            missing = *key == 'm';
        } else if (strcmp(key, "rank") == 0) {
            one = (struct ras_rank){.rank = atoi(value), .pid = -1, .count = -1, .many = 1};
            counts = false;
        } else if (strcmp(key, "host") == 0) {
            text_value(one.host, sizeof one.host, value);
        } else if (strcmp(key, "pid") == 0) {
            one.pid = atoi(value);
        } else if (strcmp(key, "collective_counts") == 0) {
            counts = true;
        } else if (missing && strcmp(key, "considered_dead") == 0) {
            struct ras_rank *rank = add(answer, communicator);
            char keep[32];
            memcpy(keep, rank->communicator, sizeof keep);
            *rank = one;
            memcpy(rank->communicator, keep, sizeof keep);
            rank->silent = true;
            rank->dead = ncr_begins(value, "true");
        } else if (counts && (*value == '-' || (*value >= '0' && *value <= '9')) && one.rank >= 0) {
            struct ras_rank *rank = add(answer, communicator);
            char keep[32];
            memcpy(keep, rank->communicator, sizeof keep);
            *rank = one;
            memcpy(rank->communicator, keep, sizeof keep);
            rank->count = atoll(value);
            take_word(rank->function, sizeof rank->function, key, "");
        } else if (strcmp(key, "ras") == 0) {
            break;
        }
    }
}

/** Reads an answer of either form; what it does not know is passed over. */
void ras_read(struct ras_answer *answer, const char *text) {
    *answer = (struct ras_answer){.list = NULL};
    const char *start = text + strspn(text, " \n");
    if (*start == '{')
        read_json(answer, start);
    else
        read_text(answer, start);
}

void ras_free(struct ras_answer *answer) {
    free(answer->list);
    *answer = (struct ras_answer){.list = NULL};
}

/* ---- judging ---- */

static void say_rank(struct ncr_text *text, const struct ras_rank *rank) {
    if (rank->rank >= 0)
        ncr_text_add(text, "rank %d (", rank->rank);
    else
        ncr_text_add(text, "a process (");
    if (*rank->host)
        ncr_text_add(text, "%s, ", rank->host);
    ncr_text_add(text, rank->pid >= 0 ? "pid %d)" : "pid unknown)", rank->pid);
}

static bool say_silent(const struct ras_answer *answer, struct ncr_text *text) {
    enum { MOST = 8 };
    unsigned said = 0, silent = 0, dead = 0;
    for (unsigned i = 0; i < answer->count; i++) {
        const struct ras_rank *rank = &answer->list[i];
        bool again = !rank->silent || (rank->rank < 0 && said > 0); /* the process of a rank that has been named */
        for (unsigned k = 0; k < i && !again; k++)
            again = answer->list[k].silent && answer->list[k].rank >= 0 && answer->list[k].pid == rank->pid &&
                    rank->pid >= 0 && strcmp(answer->list[k].host, rank->host) == 0;
        if (rank->rank < 0)
            for (unsigned k = i + 1; k < answer->count && !again; k++)
                again = answer->list[k].silent && answer->list[k].rank >= 0;
        if (again)
            continue;
        silent++;
        dead += rank->dead;
        if (said == MOST)
            continue;
        ncr_text_add(text, said++ ? ", " : "");
        say_rank(text, rank);
    }
    if (silent > said)
        ncr_text_add(text, " and %u more", silent - said);
    if (silent)
        ncr_text_add(text, " %s not answer NCCL's RAS: the process is %s.", silent == 1 ? "does" : "do",
                     dead ? "dead, or its host cannot be reached" : "dead, stopped, or its host cannot be reached");
    return silent > 0;
}

/* For the first function of the first communicator whose counts differ: who is behind. */
static bool say_behind(const struct ras_answer *answer, struct ncr_text *text) {
    enum { MOST = 8 };
    for (unsigned i = 0; i < answer->count; i++) {
        const struct ras_rank *first = &answer->list[i];
        long long least = first->count, most = first->count;
        unsigned said = 0, behind = 0, ahead = 0;
        if (first->count < 0)
            continue;
        for (unsigned k = 0; k < answer->count; k++) {
            const struct ras_rank *rank = &answer->list[k];
            if (rank->count < 0 || !rank->many || strcmp(rank->communicator, first->communicator) != 0 ||
                strcmp(rank->function, first->function) != 0)
                continue;
            least = rank->count < least ? rank->count : least;
            most = rank->count > most ? rank->count : most;
        }
        if (least == most)
            continue;
        for (unsigned k = 0; k < answer->count; k++) {
            const struct ras_rank *rank = &answer->list[k];
            if (rank->count < 0 || strcmp(rank->communicator, first->communicator) != 0 ||
                strcmp(rank->function, first->function) != 0)
                continue;
            ahead += rank->count > least ? rank->many : 0;
            if (rank->count != least || !rank->many)
                continue;
            behind += rank->many;
            if (rank->rank < 0 || said == MOST)
                continue;
            ncr_text_add(text, said++ ? ", " : "");
            say_rank(text, rank);
        }
        if (behind > said)
            ncr_text_add(text, "%s%u %srank%s", said ? " and " : "", behind - said, said ? "more " : "",
                         behind - said == 1 ? "" : "s");
        ncr_text_add(text, " %s launched %lld %s%s on communicator %s, %u other%s up to %lld: %s not called #%lld.",
                     behind == 1 ? "has" : "have", least, *first->function ? first->function : "collective",
                     least == 1 ? "" : "s", first->communicator, ahead, ahead == 1 ? "" : "s", most,
                     behind == 1 ? "it has" : "they have", least + 1);
        return true;
    }
    return false;
}

/** What is wrong by this answer, as a sentence that begins in lower case; false if nothing is. */
bool ras_judge(const struct ras_answer *answer, struct ncr_text *sentence) {
    return say_silent(answer, sentence) || say_behind(answer, sentence);
}
