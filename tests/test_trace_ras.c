/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of NCCL's RAS, replayed by a server on this host, and what `nccl-redirect hang` says of a job that was not
 * traced. tests/ras has them: 2.28.9's were taken from a real job on two GPUs.
 */
#include "support.h"

#include "ras.h"
#include "trace.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *answer_file(const char *name) {
    char *text_of = ncr_file_text(text("tests/ras/%s", name), 1 << 20);
    if (!text_of)
        fail_msg("tests/ras/%s is not there (tests run in the root of the sources)", name);
    return text_of;
}

static void read_line(int client, char *line) {
    size_t length = 0;
    while (length < 200 && read(client, line + length, 1) == 1 && line[length] != '\n')
        length++;
    line[length] = '\0';
}

static void put(int client, const char *text_to) {
    if (write(client, text_to, strlen(text_to)) < 0)
        _exit(1);
}

/* What a process with RAS does; `json` NULL: one before 2.28.7. Silent ones accept and say nothing. */
static void serve(int listening, const char *json, const char *plain, bool silent) {
    for (;;) {
        int client = accept(listening, NULL, NULL);
        bool as_json = false;
        char line[256];
        while (silent)
            pause();
        for (;;) {
            read_line(client, line);
            if (strncmp(line, "CLIENT PROTOCOL", 15) == 0) {
                put(client, "SERVER PROTOCOL 2\n");
            } else if (strncmp(line, "TIMEOUT", 7) == 0) {
                put(client, "OK\n");
            } else if (strcmp(line, "SET FORMAT json") == 0 && json) {
                as_json = true;
                put(client, "OK\n");
            } else if (strstr(line, "STATUS")) {
                put(client, as_json ? json : plain);
                break;
            } else {
                put(client, "ERROR: Unknown command\n");
                break;
            }
        }
        close(client);
    }
}

static struct result ask(const char *json, const char *plain, bool silent) {
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listening, 4), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    int server = fork();
    if (server == 0)
        serve(listening, json, plain, silent);
    struct result result = run(WITHOUT_SHIM,
                               ENV(text("NCCL_RAS_ADDR=127.0.0.1:%d", ntohs(address.sin_port)),
                                   text("NCCL_REDIRECT_TRACE=%s", fresh_folder())),
                               CMD(built("nccl-redirect"), "hang"));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    close(listening);
    print_message("    %.*s\n", (int)strcspn(result.out, "\n"), result.out);
    return result;
}

static void says(const char *json, const char *plain, int status, const char *part) {
    struct result result = ask(json, plain, false);
    assert_int_equal(result.status, status);
    assert_contains(result.out, part);
    assert_contains(result.out, "According to NCCL's RAS");
    assert_string_equal(result.err, "");
    result_free(&result);
}

static void a_rank_that_is_behind(void **state) {
    (void)state;
    static const char part[] = "Rank 1 (192.0.2.2, pid 622) has launched 97 AllReduces on communicator ";
    says(answer_file("2.28.9-skip.json"), NULL, 1, part);
    says(NULL, answer_file("2.28.9-skip.text"), 1, part);
}

static void ranks_that_are_behind_by_an_older_nccl(void **state) {
    (void)state;
    says(
        NULL, answer_file("2.24-lag.text"), 1,
        "Rank 9 (10.20.0.12, pid 70121), rank 11 (10.20.0.12, pid 70123) have launched 411 collectives on communicator "
        "51f07e7a6b1fd7a2, 30 others up to 412: they have not called #412.");
}

static void a_rank_that_was_killed(void **state) {
    (void)state;
    static const char part[] = "Rank 1 (192.0.2.2, pid 798) does not answer NCCL's RAS: the process is dead, stopped";
    says(answer_file("2.28.9-kill.json"), NULL, 1, part);
    says(NULL, answer_file("2.28.9-kill.text"), 1, part);
}

static void a_job_that_is_fine(void **state) {
    (void)state;
    says(NULL, answer_file("2.28.9-fine.text"), 0, "Nothing wrong found");
}

static void one_that_does_not_answer_is_no_answer(void **state) {
    (void)state;
    struct result result = ask(NULL, "", true);
    assert_int_equal(result.status, 3);
    result_free(&result);
}

/* Any bytes at all: no crash, and no control characters come through. */
static void damaged_answers_are_survived(void **state) {
    (void)state;
    static const char *const files[] = {"2.28.9-skip.json", "2.28.9-kill.json", "2.28.9-skip.text", "2.28.9-kill.text",
                                        "2.24-lag.text"};
    unsigned seed = 99;
    for (unsigned run_ = 0; run_ < 20000; run_++) {
        char *copy = strdup(answer_file(files[run_ % 5]));
        size_t length = strlen(copy);
        for (unsigned times = 0; times < 6; times++) {
            seed = seed * 1103515245u + 12345u;
            copy[(seed >> 8) % length] = (char)(1 + (seed >> 3) % 255);
        }
        struct ras_answer answer;
        struct ncr_text sentence = {0};
        ras_read(&answer, copy);
        ras_judge(&answer, &sentence);
        for (const char *at = ncr_text_get(&sentence); *at; at++)
            assert_true((unsigned char)*at >= ' ' && *at != 0x7f);
        ncr_text_free(&sentence);
        ras_free(&answer);
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_that_is_behind),
        cmocka_unit_test(ranks_that_are_behind_by_an_older_nccl),
        cmocka_unit_test(a_rank_that_was_killed),
        cmocka_unit_test(a_job_that_is_fine),
        cmocka_unit_test(one_that_does_not_answer_is_no_answer),
        cmocka_unit_test(damaged_answers_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
