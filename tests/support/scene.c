/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *new_root(void) {
    char *name = strdup("/tmp/job-XXXXXX");
    if (!mkdtemp(name))
        fail_msg("cannot make %s", name);
    return name;
}

static const char *roots[16];
static unsigned root_count;
static pid_t owner;

static void remove_roots(void) {
    for (unsigned i = 0; getpid() == owner && i < root_count; i++)
        if (system(text("rm -rf '%s'", roots[i])) != 0)
            fprintf(stderr, "cannot remove %s\n", roots[i]);
}

/* A real NCCL is large: a second name for the same file where the file system allows it. */
static void place_nccl(const char *wheel, const char *path) {
    const char *real = realpath(real_nccl(wheel), NULL);
    make_folder(text("%.*s", (int)(strrchr(path, '/') - path), path));
    if (link(real, path) != 0)
        copy_file(real, path, -1);
}

static long size_of(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (long)status.st_size : 0;
}

static void place_record(const char *site, const char *name, const char *wheel) {
    write_file(
        text("%s/%s.dist-info/RECORD", site, name),
        text("nvidia/nccl/lib/libnccl.so.2,sha256=0,%ld\n%s.dist-info/METADATA,,\n", size_of(real_nccl(wheel)), name));
}

static void place_torch(const char *site, const char *library_file) {
    write_file(text("%s/torch/__init__.py", site), "");
    write_file(text("%s/torch/version.py", site),
               "__all__ = ['__version__', 'cuda']\n__version__ = '2.5.1+cu124'\ncuda = '12.4'\n");
    copy_file(library_file, text("%s/torch/lib/libtorch_cuda.so", site), -1);
}

static void place_python(const char *root) {
    const char *python = text("%s/python/bin/python3.11", root);
    copy_file(program("python_stand_in"), python, -1);
    make_link("python3.11", text("%s/python/bin/python3", root));
    make_folder(text("%s/python/lib/python3.11/site-packages", root));
    write_file(text("%s/venv/pyvenv.cfg", root), text("home = %s/python/bin\n", root));
    make_link(python, text("%s/venv/bin/python3", root));
    make_link("python3", text("%s/venv/bin/python", root));
    write_file(text("%s/train.py", root), "import torch\n");
}

static void place_tools(const char *root) {
    static const char *const tools[] = {"sh", "true", "sleep", "env", "cat", "sort"};
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
        make_link(text("%s/%s", access(text("/bin/%s", tools[i]), X_OK) == 0 ? "/bin" : "/usr/bin", tools[i]),
                  text("%s/tools/%s", root, tools[i]));
    copy_file(built("nccl-redirect"), text("%s/bin/nccl-redirect", root), -1);
    for (int i = 0; i < 2; i++) {
        const char *file = i ? "rccl_redirect.so" : "nccl_redirect.so";
        copy_file(built(file), text("%s/lib/nccl-redirect/%s", root, file), -1);
        make_link(file, text("%s/lib/nccl-redirect/lib%s", root, file));
    }
    copy_file(library("driver"), text("%s/driver/libcuda.so.1", root), -1);
    make_folder(text("%s/home", root));
    write_file(text("%s/fingerprints", root),
               "2.28.9 9f3c51b2a0e7d4c8 /usr/lib/x86_64-linux-gnu/libnccl.so.2.28.9 node1\n"
               "2.28.9 9f3c51b2a0e7d4c8 /usr/lib/x86_64-linux-gnu/libnccl.so.2.28.9 node2\n"
               "2.28.3 04bb1e6fd2a95c77 /usr/lib/x86_64-linux-gnu/libnccl.so.2.28.3 node3\n");
}

static bool one_of(const char *name, const char *list) {
    return strstr(list, text(" %s ", name)) != NULL;
}

static void place_nccls(struct scene *scene, const char *name) {
    const char *root = scene->root, *site = text("%s/venv/lib/python3.11/site-packages", root);
    const char *wheel = text("%s/nvidia/nccl/lib/libnccl.so.2", site);
    make_folder(site);
    if (one_of(name, " healthy two-wheels older-system broken "))
        place_torch(site, library("linked_torch_cuda"));
    if (one_of(name, " healthy two-wheels older-system ")) {
        place_nccl("cu12-2.21.5", wheel);
        place_record(site, "nvidia_nccl_cu12-2.21.5", "cu12-2.21.5");
    }
    if (one_of(name, " two-wheels "))
        place_record(site, "nvidia_nccl_cu13-2.32.3", "cu12-2.32.3");
    if (one_of(name, " healthy broken ")) {
        place_nccl("cu12-2.32.3", text("%s/nccl/lib/libnccl.so.2", root));
        scene_set(scene, text("NCCL_HOME=%s/nccl", root));
    }
    if (one_of(name, " broken "))
        copy_file(real_nccl("cu12-2.21.5"), wheel, 1 << 20);
    if (one_of(name, " static ")) {
        place_torch(site, built("hostmem/torch/libtorch_cuda.so"));
        copy_file(program("inside_nccl"), text("%s/all_reduce_perf", root), -1);
    }
    if (one_of(name, " older-system "))
        place_nccl("cu11-2.14.3", text("%s/old/libnccl.so.2", root));
    scene_set(scene,
              text("LD_LIBRARY_PATH=%s%s/driver", one_of(name, " older-system ") ? text("%s/old:", root) : "", root));
}

struct scene scene_make(const char *name) {
    struct scene scene = {.root = new_root()};
    if (root_count == 0) {
        owner = getpid();
        atexit(remove_roots);
    }
    roots[root_count++] = scene.root;
    place_tools(scene.root);
    place_python(scene.root);
    place_nccls(&scene, name);
    scene_set(&scene, text("PATH=%s/bin:%s/%s/bin:%s/tools", scene.root, scene.root,
                           strcmp(name, "no-torch") == 0 ? "python" : "venv", scene.root));
    scene_set(&scene, text("HOME=%s/home", scene.root));
    scene_set(&scene, "NO_COLOR=1");
    scene_set(&scene, text("LD_PRELOAD=%s", library("other_machine")));
    return scene;
}

void scene_set(struct scene *scene, const char *setting) {
    size_t name = strcspn(setting, "=") + 1;
    for (unsigned i = 0; i < scene->variables; i++)
        if (strncmp(scene->environment[i], setting, name) == 0) {
            scene->environment[i] = setting;
            return;
        }
    scene->environment[scene->variables++] = setting;
}

/* Put `by` in the place of every `what`. */
static char *replaced(char *all, const char *what, const char *by) {
    char *result = strdup("");
    for (char *at = all, *hit;; at = hit + strlen(what)) {
        hit = strstr(at, what);
        result = (char *)text("%s%.*s%s", result, hit ? (int)(hit - at) : (int)strlen(at), at, hit ? by : "");
        if (!hit)
            return result;
    }
}

static char *normal(const struct scene *scene, char *output) {
    output = replaced(output, text("%s:", library("other_machine")), "");
    return replaced(output, scene->root, SCENE_NAME);
}

struct result scene_run(const struct scene *scene, const char *line) {
    struct result result =
        run(WITHOUT_SHIM, scene->environment, CMD("/bin/sh", "-c", text("cd %s && %s", scene->root, line)));
    result.out = normal(scene, result.out);
    result.err = normal(scene, result.err);
    return result;
}

const char *scene_says(const struct scene *scene, int status, const char *line) {
    struct result result = scene_run(scene, line);
    if (result.status != status) {
        print_message("$ %s\nwanted exit code %d\n", line, status);
        show(&result);
        assert_int_equal(result.status, status);
    }
    return text("%s%s", result.out, result.err);
}

const char *unwrapped(const char *all) {
    char *result = strdup(all), *to = result;
    for (const char *at = all; *at; at++)
        if (*at != ' ' && *at != '\n')
            *to++ = *at;
        else if (to > result && to[-1] != ' ')
            *to++ = ' ';
    *to = '\0';
    return result;
}
