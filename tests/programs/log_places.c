/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens libnccl.so.2 after it has done something to its descriptors, and tells what became of them.
 *
 *   log_places file PATH      opens PATH for writing, asks for NCCL, and writes "data" before and after
 *   log_places append PATH    likewise, PATH opened for appending
 *   log_places replace PATH   closes stderr and does as `file`, so that PATH has its number
 *   log_places dup PATH       puts PATH, opened for appending, in stderr's place, as supervisors do
 *   log_places socket         closes stderr, makes a pair of sockets, and prints what arrives at the other end
 *   log_places descriptors    prints the number of open descriptors before and after
 *   log_places twice          asks twice
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void ask(void) {
    dlopen("libnccl.so.2", RTLD_NOW);
}

static int count_descriptors(void) {
    int count = 0;
    for (int i = 0; i < 256; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

/* Prints the descriptor that the file has. */
static int write_around(int file) {
    if (file < 0 || write(file, "data\n", 5) != 5)
        return 1;
    ask();
    printf("descriptor %d\n", file);
    return write(file, "data\n", 5) != 5;
}

static int read_other_end(void) {
    int ends[2];
    char got[4096] = "";
    close(STDERR_FILENO);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || ends[0] != STDERR_FILENO)
        return 2;
    ask();
    ssize_t length = recv(ends[1], got, sizeof got - 1, MSG_DONTWAIT);
    printf("received %zd\n", length);
    return 0;
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "", *path = count > 2 ? arguments[2] : "";
    int flags = O_WRONLY | O_CREAT | (strcmp(what, "file") == 0 || strcmp(what, "replace") == 0 ? O_TRUNC : O_APPEND);
    if (strcmp(what, "descriptors") == 0) {
        int before = count_descriptors();
        ask();
        printf("%d more\n", count_descriptors() - before);
        return 0;
    }
    if (strcmp(what, "twice") == 0) {
        ask();
        ask();
        puts("went on");
        return 0;
    }
    if (strcmp(what, "socket") == 0)
        return read_other_end();
    if (strcmp(what, "replace") == 0)
        close(STDERR_FILENO);
    int file = open(path, flags, 0644);
    if (strcmp(what, "dup") == 0)
        file = dup2(file, STDERR_FILENO);
    return write_around(file);
}
