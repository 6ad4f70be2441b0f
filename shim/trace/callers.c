/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who called: the library that the return address lies in. Each library is looked up once; later calls find its range in
 * the table.
 */
#include "recorder.h"

#include <errno.h>
#include <string.h>

struct search {
    uintptr_t address;
    struct trace_caller *row;
};

static bool take(void *arg, const struct ncr_object *object) {
    struct search *search = arg;
    if (search->address < object->start || search->address >= object->end)
        return false;
    const char *path = *object->path ? object->path : ncr_recorder.header->program;
    size_t length = strnlen(path, sizeof search->row->path - 1);
    memcpy(search->row->path, path, length);
    search->row->end = object->end;
    search->row->start = object->start;
    return true;
}

static uint8_t remember(uint8_t index) {
    struct ncr_recording *here = &ncr_recording;
    here->caller_start = ncr_recorder.callers[index].start;
    here->caller_size = ncr_recorder.callers[index].end - here->caller_start;
    return here->caller = index;
}

static uint32_t known_callers(void) {
    return __atomic_load_n(&ncr_recorder.header->caller_count, __ATOMIC_ACQUIRE);
}

static uint8_t find(uintptr_t address, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        if (address >= ncr_recorder.callers[i].start && address < ncr_recorder.callers[i].end)
            return (uint8_t)i;
    return TRACE_NO_CALLER;
}

/* Code that no library owns (made at run time) has a row too, of its page, so that it is looked up once. */
static uint8_t add(uintptr_t address) {
    uint32_t count = known_callers();
    struct search search = {address, &ncr_recorder.callers[count]};
    uint8_t index = find(address, 0, count);
    if (index != TRACE_NO_CALLER || count >= TRACE_CALLERS)
        return index;
    if (!ncr_objects(take, &search)) {
        search.row->start = address & ~(uintptr_t)4095;
        search.row->end = search.row->start + 4096;
    }
    __atomic_store_n(&ncr_recorder.header->caller_count, count + 1, __ATOMIC_RELEASE);
    return (uint8_t)count;
}

/** The row of the library at this address; TRACE_NO_CALLER when the table is full. Keeps errno. */
uint8_t ncr_record_caller(uintptr_t address) {
    uint8_t index = find(address, 0, known_callers());
    if (index == TRACE_NO_CALLER && known_callers() < TRACE_CALLERS) {
        int error = errno;
        ncr_mutex_lock(&ncr_recorder.mutex);
        index = add(address);
        ncr_mutex_unlock(&ncr_recorder.mutex);
        errno = error;
    }
    return index == TRACE_NO_CALLER ? index : remember(index);
}
