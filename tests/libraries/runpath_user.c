/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has RUNPATH $ORIGIN/sub (Makefile), and opens libsub.so there by its bare name: from a constructor, a function, a
 * thread.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

int opened_in_constructor;
int open_sub(void);
int open_sub_in_thread(void);

int open_sub(void) {
    int (*answer)(void) = NULL;
    void *handle = dlopen("libsub.so", RTLD_NOW);
    if (handle)
        *(void **)&answer = dlsym(handle, "plugin_answer");
    return answer ? answer() : -1;
}

static void *run(void *result) {
    *(int *)result = open_sub();
    return NULL;
}

int open_sub_in_thread(void) {
    pthread_t thread;
    int result = -1;
    pthread_create(&thread, NULL, run, &result);
    pthread_join(thread, NULL);
    return result;
}

/* Closed again, so that the other ways have to find it themselves. */
__attribute__((constructor)) static void start(void) {
    void *handle = dlopen("libsub.so", RTLD_NOW);
    opened_in_constructor = handle != NULL && dlclose(handle) == 0;
}
