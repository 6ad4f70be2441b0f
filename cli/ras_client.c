/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks NCCL's RAS, for `hang` of a job that was not traced. The protocol is lines (user guide, ncclras): who we are, how
 * long to wait for other processes, the form, the question. Everything has a time limit: a process that hangs does not answer.
 */
#include "traces.h"
#include "ras.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_MS = 2000, ANSWER_MS = 8000, MOST_BYTES = 64 << 20 };

static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static bool wait_for(int socket, short events, int64_t until) {
    struct pollfd one = {socket, events, 0};
    int64_t left = until - now_ms();
    return left > 0 && poll(&one, 1, (int)left) == 1;
}

static int connect_to(const struct addrinfo *address) {
    int error = 0,
        file = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
    socklen_t size = sizeof error;
    if (file < 0)
        return -1;
    if (connect(file, address->ai_addr, address->ai_addrlen) == 0 ||
        (errno == EINPROGRESS && wait_for(file, POLLOUT, now_ms() + CONNECT_MS) &&
         getsockopt(file, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0))
        return file;
    close(file);
    return -1;
}

/* HOST:PORT, [HOST]:PORT; NCCL's own standard without a value. */
static const char *address_of(const char **port) {
    const char *value = getenv("NCCL_RAS_ADDR");
    char *host = (char *)formatted("%s", value && *value ? value : "localhost:28028"), *colon = strrchr(host, ':');
    *port = colon ? colon + 1 : "28028";
    if (colon)
        *colon = '\0';
    if (*host == '[') {
        host++;
        host[strcspn(host, "]")] = '\0';
    }
    return *host ? host : "localhost";
}

static int open_ras(void) {
    const char *port, *host = address_of(&port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int file = -1;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return -1;
    for (const struct addrinfo *at = list; at && file < 0; at = at->ai_next)
        file = connect_to(at);
    freeaddrinfo(list);
    return file;
}

static bool send_line(int file, const char *line, int64_t until) {
    const char *text = formatted("%s\n", line);
    for (size_t done = 0, all = strlen(text); done < all;) {
        ssize_t wrote = wait_for(file, POLLOUT, until) ? send(file, text + done, all - done, MSG_NOSIGNAL) : -1;
        if (wrote <= 0)
            return false;
        done += (size_t)wrote;
    }
    return true;
}

/* One line of the answer, or with `all` everything up to the end. NULL if none came in time. */
static char *receive(int file, bool all, int64_t until) {
    struct ncr_text text = {0};
    char part[4096];
    while (text.length < MOST_BYTES) {
        ssize_t got = wait_for(file, POLLIN, until) ? recv(file, part, all ? sizeof part - 1 : 1, 0) : -1;
        if (got <= 0)
            break;
        part[got] = '\0';
        ncr_text_add(&text, "%s", part);
        if (!all && part[0] == '\n')
            break;
    }
    return text.data;
}

/* The answer in the best format that this NCCL supports; NULL without an answer. */
static char *ask(bool json) {
    int file = open_ras();
    int64_t until = now_ms() + ANSWER_MS;
    char *answer = NULL;
    bool good = file >= 0 && send_line(file, "CLIENT PROTOCOL 2", until);
    char *greeting = good ? receive(file, false, until) : NULL;
    good = greeting && strncasecmp(greeting, "SERVER PROTOCOL", 15) == 0 && send_line(file, "TIMEOUT 5", until) &&
           receive(file, false, until);
    if (good && json) {
        char *reply = send_line(file, "SET FORMAT json", until) ? receive(file, false, until) : NULL;
        good = reply && strncasecmp(reply, "OK", 2) == 0; /* before 2.28.7 text is the only format */
    }
    if (good && send_line(file, json ? "STATUS" : "VERBOSE STATUS", until))
        answer = receive(file, true, until);
    if (file >= 0)
        close(file);
    return answer;
}

static char *ask_best(void) {
    char *answer = ask(true);
    return answer ? answer : ask(false);
}

static const char *capital(struct ncr_text *text) {
    if (text->data)
        text->data[0] = (char)toupper((unsigned char)text->data[0]);
    return ncr_text_get(text);
}

/** What RAS says of the job on this host; -1 if it does not answer. */
int ras_hang(const struct request *request) {
    static const char limits[] =
        "According to NCCL's RAS, which counts collectives by kind, without arguments, and does not see sends, "
        "receives or captured calls. For more, record the job: nccl-redirect run --trace";
    struct ras_answer before, after;
    struct ncr_text first = {0}, second = {0};
    char *text = ask_best();
    if (!text)
        return -1;
    ras_read(&before, text);
    bool wrong = ras_judge(&before, &first);
    if (wrong) { /* a job that is running may look the same for a moment */
        nanosleep(&(struct timespec){1, 0}, NULL);
        text = ask_best();
        ras_read(&after, text ? text : "");
        wrong = ras_judge(&after, &second) && strcmp(ncr_text_get(&first), ncr_text_get(&second)) == 0;
    }
    const char *sentence =
        wrong ? capital(&first)
              : "Nothing wrong found: all ranks answer, and have launched the same collectives or go on.";
    if (request->json) {
        struct json *object = json_object();
        json_add_text(object, "sentence", sentence);
        json_add_bool(object, "wrong", wrong);
        json_add_text(object, "source", "ras");
        json_add_text(object, "nccl", *before.version ? before.version : NULL);
        json_print(object);
        return wrong ? EXIT_FINDING : EXIT_FINE;
    }
    line_add(wrong ? BAD : GOOD, "%s", sentence);
    line_end(0, 0);
    line_print(0, "%s", limits);
    return wrong ? EXIT_FINDING : EXIT_FINE;
}
