/* SPDX-License-Identifier: Apache-2.0 */
/* Maps the first page of a file as code, prints "ready" and stays. With a second argument it removes the file's name first. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int file = open(argv[1], O_RDONLY);
    if (file < 0 || mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED) {
        perror(argv[1]);
        return 1;
    }
    if (argc > 2)
        unlink(argv[1]);
    puts("ready");
    fflush(stdout);
    pause();
    return 0;
}
