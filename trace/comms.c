/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Communicators across ranks: rows that share an identity are one communicator. A grown communicator has two identities, and rows
 * that know only one of them are joined by a row that knows both.
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

/* One row of one file; `parent` leads to the row that stands for the communicator. */
struct node {
    unsigned file, row, parent, communicator;
};

struct name {
    uint64_t identity;
    unsigned node;
};

static unsigned root_of(struct node *nodes, unsigned at) {
    while (nodes[at].parent != at)
        at = nodes[at].parent = nodes[nodes[at].parent].parent;
    return at;
}

static int by_identity(const void *a, const void *b) {
    const struct name *one = a, *other = b;
    if (one->identity != other->identity)
        return one->identity < other->identity ? -1 : 1;
    return one->node < other->node ? -1 : one->node > other->node;
}

static struct node *collect(const struct trace_set *set, unsigned *count, struct name **names, size_t *name_count) {
    struct node *nodes = NULL;
    *count = 0;
    *names = NULL;
    *name_count = 0;
    for (unsigned i = 0; i < set->count; i++) {
        for (unsigned row = 0; row < set->files[i]->comm_count; row++) {
            const struct trace_comm *comm = &set->files[i]->comms[row];
            const uint64_t ids[] = {comm->identity, comm->alias};
            if (!comm->identity)
                continue;
            nodes = trace_more(nodes, *count, sizeof *nodes);
            nodes[*count] = (struct node){i, row, *count, 0};
            for (unsigned k = 0; k < 2; k++) {
                if (!ids[k])
                    continue;
                *names = trace_more(*names, *name_count, sizeof **names);
                (*names)[(*name_count)++] = (struct name){ids[k], *count};
            }
            (*count)++;
        }
    }
    return nodes;
}

static void join(struct node *nodes, struct name *names, size_t count) {
    if (count)
        qsort(names, count, sizeof *names, by_identity);
    for (size_t i = 1; i < count; i++) {
        if (names[i].identity != names[i - 1].identity)
            continue;
        unsigned a = root_of(nodes, names[i - 1].node), b = root_of(nodes, names[i].node);
        nodes[a > b ? a : b].parent = a > b ? b : a;
    }
}

static void add_member(struct trace_set *set, struct trace_communicator *comm, unsigned file, unsigned row) {
    const struct trace_comm *of_file = &set->files[file]->comms[row];
    comm->members = trace_more(comm->members, comm->count, sizeof *comm->members);
    comm->members[comm->count++] =
        (struct trace_member){file, row, of_file->rank, of_file->collectives, of_file->collectives};
    if (of_file->ranks > comm->ranks)
        comm->ranks = of_file->ranks;
    comm->made |= of_file->leave && !(of_file->flags & TRACE_NONBLOCKING) && of_file->ending != TRACE_NEVER_MADE &&
                  of_file->origin != TRACE_UNSEEN;
}

static int by_rank(const void *a, const void *b) {
    const struct trace_member *one = a, *other = b;
    unsigned x = (unsigned)one->rank, y = (unsigned)other->rank; /* unknown ones last */
    if (x != y)
        return x < y ? -1 : 1;
    return one->file < other->file ? -1 : one->file > other->file;
}

/* ---- ranks of a split ---- */

/* Ranks of a split go by key, and by rank on the parent. */
struct place {
    unsigned member;
    int key, parent_rank;
};

static int by_key(const void *a, const void *b) {
    const struct place *one = a, *other = b;
    if (one->key != other->key)
        return one->key < other->key ? -1 : 1;
    return one->parent_rank < other->parent_rank ? -1 : one->parent_rank > other->parent_rank;
}

static int rank_on(const struct trace_file *file, uint64_t identity) {
    for (unsigned row = 0; row < file->comm_count; row++)
        if (file->comms[row].identity == identity)
            return file->comms[row].rank;
    return -1;
}

/*
 * A rank that has made no call with its part of a split yet does not know its number there (shim/trace/pending.c). If all
 * that passed its color are here, it follows from what they passed.
 */
static void number_split(const struct trace_set *set, struct trace_communicator *comm) {
    struct place *places = trace_take(comm->count, sizeof *places);
    bool whole = comm->ranks == (int)comm->count, any = false;
    for (unsigned i = 0; i < comm->count && whole; i++) {
        const struct trace_comm *row = trace_member_row(set, &comm->members[i]);
        places[i] = (struct place){i, row->key, rank_on(set->files[comm->members[i].file], row->parent)};
        whole = row->origin == TRACE_SPLIT && places[i].parent_rank >= 0;
        any |= row->rank < 0;
    }
    if (whole && any)
        qsort(places, comm->count, sizeof *places, by_key);
    for (unsigned i = 0; i < comm->count && whole && any; i++)
        set->files[comm->members[places[i].member].file]->comms[comm->members[places[i].member].row].rank =
            comm->members[places[i].member].rank = (int)i;
    free(places);
}

/* ---- names ---- */

static const char *given_name(const struct trace_set *set, const struct trace_communicator *comm) {
    for (unsigned i = 0; i < comm->count; i++)
        if (*trace_member_row(set, &comm->members[i])->name)
            return trace_member_row(set, &comm->members[i])->name;
    return NULL;
}

static unsigned files_with_communicators(const struct trace_set *set) {
    unsigned count = 0;
    for (unsigned i = 0; i < set->count; i++)
        count += set->files[i]->comm_count > 0;
    return count;
}

static bool is_of_all(const struct trace_set *set, const struct trace_communicator *comm, int all) {
    return comm->ranks == all && all > 1 && trace_member_row(set, &comm->members[0])->origin == TRACE_INIT;
}

/* The name that the program gave it; else "world" for the only one that all processes made; else digits of its identity. */
static void label(struct trace_set *set) {
    unsigned worlds = 0;
    int all = (int)files_with_communicators(set);
    for (unsigned i = 0; i < set->communicator_count; i++)
        worlds += is_of_all(set, &set->communicators[i], all);
    for (unsigned i = 0; i < set->communicator_count; i++) {
        struct trace_communicator *comm = &set->communicators[i];
        const char *name = given_name(set, comm);
        struct ncr_text text = {0};
        if (name)
            ncr_text_add(&text, "%s", name);
        else if (worlds == 1 && is_of_all(set, comm, all))
            ncr_text_add(&text, "world");
        else
            ncr_text_add(&text, "communicator %04x", (unsigned)(comm->identity >> 48));
        comm->label = text.data;
    }
}

static void index_rows(struct trace_set *set) {
    for (unsigned i = 0; i < set->count; i++) {
        set->files[i]->communicator = trace_take(set->files[i]->comm_count, sizeof *set->files[i]->communicator);
        set->files[i]->member = trace_take(set->files[i]->comm_count, sizeof *set->files[i]->member);
    }
    for (unsigned i = 0; i < set->communicator_count; i++) {
        struct trace_communicator *comm = &set->communicators[i];
        number_split(set, comm);
        qsort(comm->members, comm->count, sizeof *comm->members, by_rank);
        for (unsigned k = 0; k < comm->count; k++) {
            struct trace_file *file = set->files[comm->members[k].file];
            file->communicator[comm->members[k].row] = i;
            file->member[comm->members[k].row] = k;
        }
    }
}

/** Finds the communicators of all files. */
void trace_comms_join(struct trace_set *set) {
    unsigned count;
    size_t name_count;
    struct name *names;
    struct node *nodes = collect(set, &count, &names, &name_count);
    join(nodes, names, name_count);
    for (unsigned i = 0; i < count; i++) {
        unsigned root = root_of(nodes, i);
        if (root == i) {
            set->communicators = trace_more(set->communicators, set->communicator_count, sizeof *set->communicators);
            nodes[i].communicator = set->communicator_count;
            set->communicators[set->communicator_count++] = (struct trace_communicator){
                .identity = set->files[nodes[i].file]->comms[nodes[i].row].identity, .ranks = -1};
        }
        add_member(set, &set->communicators[nodes[root].communicator], nodes[i].file, nodes[i].row);
    }
    free(nodes);
    free(names);
    label(set);
    index_rows(set);
}

void trace_comms_free(struct trace_set *set) {
    for (unsigned i = 0; i < set->communicator_count; i++) {
        free(set->communicators[i].members);
        free(set->communicators[i].label);
    }
    free(set->communicators);
    set->communicators = NULL;
    set->communicator_count = 0;
}

const struct trace_comm *trace_member_row(const struct trace_set *set, const struct trace_member *member) {
    return &set->files[member->file]->comms[member->row];
}

/** The communicator of a call; NULL if it has none. */
const struct trace_communicator *trace_comm_of(const struct trace_set *set, const struct trace_file *file,
                                               const struct trace_record *record) {
    return record->comm < file->comm_count && file->comms[record->comm].identity
               ? &set->communicators[file->communicator[record->comm]]
               : NULL;
}

/** Which member has this rank? */
bool trace_find_member(const struct trace_communicator *comm, int rank, unsigned *member) {
    unsigned low = 0, high = comm->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if ((unsigned)comm->members[middle].rank < (unsigned)rank)
            low = middle + 1;
        else
            high = middle;
    }
    *member = low;
    return rank >= 0 && low < comm->count && comm->members[low].rank == rank;
}
