/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of rows that make something and have no function in create.c: the handle must be known when the call returns,
 * so it cannot be a jump. It is a call in C with all argument registers and a copy of the stack behind them. NCCL's
 * functions have integer arguments only, and an ncclUniqueId by value is 128 bytes of that stack on x86-64, a pointer
 * on aarch64; so this hands on every prototype as it is. It is simpler than a stub that calls and goes on (one per CPU,
 * with unwind information), and than one that replaces the return address, which a shadow stack forbids.
 */
#include "route.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An id and twice the arguments that any function has. What is copied beyond the arguments does no harm. */
enum { STACK_WORDS = 32 };

/* The kernel reads the word first, and only then notices that the first argument is invalid. */
static bool is_readable(const uintptr_t *word) {
    int error = errno;
    bool readable = syscall(SYS_rt_sigprocmask, ~0, word, NULL, sizeof *word) == 0 || errno != EFAULT;
    errno = error;
    return readable;
}

/* The caller's frame lies above its arguments, and a stack may end there: no page is read that is not. */
__attribute__((no_sanitize("address"))) static void copy_stack(uintptr_t *words, const uintptr_t *stack) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < STACK_WORDS; i++) {
        if ((uintptr_t)&stack[i] % page == 0 && !is_readable(&stack[i]))
            return;
        words[i] = stack[i];
    }
}

typedef int maker(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                  uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                  uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                  uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                  uintptr_t, uintptr_t, uintptr_t, uintptr_t);

static int call(void *target, const uintptr_t w[8 + STACK_WORDS]) {
    maker *function = NCR_FUNCTION(maker, target);
    /* On x86-64 two words more than STACK_WORDS, which are zero. */
    return function(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12], w[13], w[14],
                    w[15], w[16], w[17], w[18], w[19], w[20], w[21], w[22], w[23], w[24], w[25], w[26], w[27], w[28],
                    w[29], w[30], w[31], w[32], w[33], w[34], w[35], w[36], w[37], w[38], w[39]);
}

static __thread int result;

static int give_result(void) {
    return result;
}

/** An address for ncr_route() to name: what is jumped to there returns `code` to the program. */
void *ncr_answer_with(int code) {
    result = code;
    return NCR_ADDRESS(give_result);
}

/**
 * Call the library's function for the program, and record what it makes. `parent` is the communicator that it is made
 * of, or NULL. Returns where to continue, or NULL if the library lacks the function.
 */
void *ncr_call_maker(unsigned slot, struct ncr_library *library, const void *parent, const uintptr_t *registers,
                     const uintptr_t *stack) {
    enum ncr_makes makes = ncr_functions[slot / 2].makes;
    struct ncr_making making = {.library = library, .kind = (enum ncr_kind)(makes / 16 - 1), .parent = parent};
    uintptr_t words[8 + STACK_WORDS] = {0};
    if (!library->entries[slot])
        return NULL;
    for (size_t i = 0; i < NCR_ARGUMENT_REGISTERS; i++)
        words[i] = registers[i];
    copy_stack(words + NCR_ARGUMENT_REGISTERS, stack);
    uintptr_t *place = &words[makes % 16];
    *place = (uintptr_t)ncr_expect(&making, (void **)*place);
    return ncr_answer_with(NCR_MAKE(&making, call(library->entries[slot], words)));
}
