/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads race for the first use of NCCL: by calls, and by opening it. Each checks its answers. usage: race_first_call
 * THREADS VERSION
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_barrier_t start;
static atomic_int good;
static int expected;

static int version_by(void *handle) {
    int (*get_version)(int *), version = -1;
    *(void **)&get_version = dlsym(handle, "ncclGetVersion");
    return get_version && get_version(&version) == 0 ? version : -1;
}

static int version_of_opened(void) {
    void *handle = dlopen("libnccl.so.2", RTLD_NOW);
    return handle ? version_by(handle) : -1;
}

static int text_is_right(void) {
    const char *(*get_string)(int);
    *(void **)&get_string = dlsym(RTLD_DEFAULT, "ncclGetErrorString");
    return strcmp(get_string(0), "slow") == 0;
}

static void *race(void *arg) {
    long number = (long)arg;
    int right;
    pthread_barrier_wait(&start);
    if (number % 3 == 0)
        right = version_by(RTLD_DEFAULT) == expected;
    else if (number % 3 == 1)
        right = text_is_right();
    else
        right = version_of_opened() == expected;
    good += right && version_by(RTLD_DEFAULT) == expected;
    return NULL;
}

int main(int argc, char **argv) {
    enum { MOST = 256 };
    pthread_t threads[MOST];
    int count = argc > 2 ? atoi(argv[1]) : 0;
    if (count < 1 || count > MOST || !dlsym(RTLD_DEFAULT, "ncclGetVersion"))
        return 2;
    alarm(60);
    expected = atoi(argv[2]);
    pthread_barrier_init(&start, NULL, (unsigned)count);
    for (long i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, race, (void *)i);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("good=%d\n", good);
    return good == count ? 0 : 1;
}
