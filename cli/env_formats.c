/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of nccl-redirect env. Each quotes by the rules of who reads it, and says of a value that it cannot hold why.
 * tests/test_cli_env_parsed reads them back by the real parsers.
 */
#include "cli.h"

#include <string.h>
#include <unistd.h>

/* ---- what a form cannot hold ---- */

static const char *any_value(const char *value) {
    (void)value;
    return NULL;
}

/* Words of a command line are pasted into terminals; and nobody has such a value on purpose. */
static const char *no_controls(const char *value) {
    return has_controls(value) ? "it contains control characters; set another value" : NULL;
}

static const char *utf8_only(const char *value) {
    return is_utf8(value) ? NULL : "it is not UTF-8, and that form is; rename the file, or link to it by another name";
}

/* Its client sends JSON to its engine. */
static const char *docker_value(const char *value) {
    const char *problem = no_controls(value);
    return problem ? problem : utf8_only(value);
}

static const char *docker_folder(const char *folder) {
    return strchr(folder, ':') ? "docker separates the parts of --volume by colons; link to it by another name"
                               : docker_value(folder);
}

/* ---- words for a shell ---- */

static void print_sh(const struct env_plan *plan) {
    for (unsigned i = 0; i < plan->count; i++) {
        const char *name = plan->list[i].name, *value = plan->list[i].value;
        if (!value)
            printf("unset %s\n", name);
        else if (has_controls(value) || !is_utf8(value))
            printf("export %s=%s\n%s=\"${%s%%.}\"\n", name, shell_printf(value), name, name);
        else
            printf("export %s=%s\n", name, shell_word(value));
    }
}

/** A shell that puts the output into a command line by $(...) splits it at blanks, and leaves quotes as they are. */
void env_print_words(const struct names *words, const char *command) {
    bool quoted = false;
    for (unsigned i = 0; i < words->count; i++) {
        const char *word = shell_word(words->list[i]);
        quoted |= word != words->list[i];
        printf("%s%s", i ? " " : "", word);
    }
    putchar('\n');
    if (quoted && output_is_for_programs())
        complain(
            "the output contains quotes, which $(...) does not remove; use eval \"%s $(nccl-redirect env ...) ...\"",
            command);
}

static void print_mpirun(const struct env_plan *plan) {
    struct names words = {NULL, 0};
    for (unsigned i = 0; i < plan->count; i++) {
        names_add(&words, "-x");
        names_add(&words, formatted("%s=%s", plan->list[i].name, plan->list[i].value));
    }
    env_print_words(&words, "mpirun");
}

/* In srun's list a comma ends a value, and a quote hides commas but stays; ALL passes on what the environment has. */
static void print_srun(const struct env_plan *plan) {
    struct ncr_text text = {0};
    struct names words = {NULL, 0};
    ncr_text_add(&text, "--export=ALL");
    for (unsigned i = 0; i < plan->count; i++) {
        const struct env_setting *one = &plan->list[i];
        const char *stop = strpbrk(one->value, ",'\"");
        if (stop)
            complain("srun cannot carry the %s in %s; set it before srun, --export=ALL passes it on: export %s=%s",
                     *stop == ',' ? "comma" : "quote", one->name, one->name, shell_word(one->value));
        else
            ncr_text_add(&text, ",%s=%s", one->name, one->value);
    }
    names_add(&words, ncr_text_get(&text));
    env_print_words(&words, "srun");
}

static void print_docker(const struct env_plan *plan) {
    struct names words = {NULL, 0};
    const char *const folders[] = {plan->folder, plan->backend_folder};
    for (unsigned i = 0; i < plan->count; i++) {
        names_add(&words, "--env");
        names_add(&words, formatted("%s=%s", plan->list[i].name, plan->list[i].value));
    }
    for (int i = 0; i < 2 && folders[i]; i++) {
        names_add(&words, "--volume");
        names_add(&words, formatted("%s:%s:ro", folders[i], folders[i]));
    }
    env_print_words(&words, "docker run");
}

/* ---- YAML ---- */

/* Kubernetes replaces $(NAME) in values; $$ stands for one $ there. Other dollars, as in $LIB, are left alone. */
static const char *without_expansion(const char *value) {
    struct ncr_text text = {0};
    for (; *value; value++)
        ncr_text_add(&text, value[0] == '$' && (value[1] == '$' || value[1] == '(') ? "%c$" : "%c", *value);
    return ncr_text_get(&text);
}

static void print_k8s(const struct env_plan *plan) {
    puts("# of a pod; CONTAINER is the name of the container that runs the job\nspec:\n  "
         "containers:\n    - name: CONTAINER\n      env:");
    for (unsigned i = 0; i < plan->count; i++)
        printf("        - name: %s\n          value: %s\n", plan->list[i].name,
               yaml_string(without_expansion(plan->list[i].value)));
    const struct env_setting mounts[] = {{"nccl-redirect", plan->folder}, {"nccl-backend", plan->backend_folder}};
    puts("      volumeMounts:");
    for (int i = 0; i < 2 && mounts[i].value; i++)
        printf("        - name: %s\n          mountPath: %s\n          readOnly: true\n", mounts[i].name,
               yaml_string(mounts[i].value));
    puts("  volumes:");
    for (int i = 0; i < 2 && mounts[i].value; i++)
        printf("    - name: %s\n      hostPath:\n        path: %s\n        type: Directory\n", mounts[i].name,
               yaml_string(mounts[i].value));
}

/* ---- JSON ---- */

static struct json *settings_json(const struct env_plan *plan) {
    struct json *object = json_object();
    for (unsigned i = 0; i < plan->count; i++)
        json_add_text(object, plan->list[i].name, plan->list[i].value);
    return object;
}

static void print_json(const struct env_plan *plan) {
    json_print(settings_json(plan));
}

/* Ray's runtime environment: ray.init(runtime_env=…), ray job submit --runtime-env-json. */
static void print_ray(const struct env_plan *plan) {
    struct json *object = json_object();
    json_add(object, "env_vars", settings_json(plan));
    json_print(object);
}

static struct json *mount_json(const char *folder) {
    static const char *const options[] = {"ro", "nosuid", "nodev", "bind"};
    struct json *mount = json_object(), *list = json_list();
    json_add_text(mount, "hostPath", folder);
    json_add_text(mount, "containerPath", folder);
    for (int i = 0; i < 4; i++)
        json_add_text(list, NULL, options[i]);
    json_add(mount, "options", list);
    return mount;
}

static void add_device(struct json *devices, const char *name, const char *choice, const char *folder) {
    struct json *device = json_object(), *edits = json_object(), *env = json_list(), *mounts = json_list();
    json_add_text(device, "name", name);
    json_add_text(env, NULL, formatted("NCCL_REDIRECT=%s", choice));
    json_add(edits, "env", env);
    if (folder) {
        json_add(mounts, NULL, mount_json(folder));
        json_add(edits, "mounts", mounts);
    }
    json_add(device, "containerEdits", edits);
    json_add(devices, NULL, device);
}

/*
 * Container Device Interface: podman run --device nccl-redirect/nccl=torch. The choice is the device, so it is not in the
 * common part. The version is the lowest that has these fields: engines refuse one that they do not know (Debian 12's
 * podman 0.6.0).
 */
static void print_cdi(const struct env_plan *plan) {
    struct json *spec = json_object(), *edits = json_object(), *env = json_list(), *mounts = json_list(),
                *devices = json_list();
    json_add_text(spec, "cdiVersion", "0.3.0");
    json_add_text(spec, "kind", "nccl-redirect/nccl");
    const char *named = NULL;
    for (unsigned i = 0; i < plan->count; i++) {
        if (strcmp(plan->list[i].name, "NCCL_REDIRECT") == 0)
            named = plan->list[i].value;
        else
            json_add_text(env, NULL, formatted("%s=%s", plan->list[i].name, plan->list[i].value));
    }
    json_add(mounts, NULL, mount_json(plan->folder));
    json_add(edits, "env", env);
    json_add(edits, "mounts", mounts);
    json_add(spec, "containerEdits", edits);
    add_device(devices, "auto", "auto", NULL);
    add_device(devices, "torch", "torch", NULL);
    add_device(devices, "system", "system", NULL);
    if (named && *named == '/')
        add_device(devices, "path", named, plan->backend_folder);
    json_add(spec, "devices", devices);
    json_print(spec);
}

static const struct env_format formats[] = {
    {"sh", print_sh, ENV_HERE, any_value, NULL, true},
    {"fish", env_print_fish, ENV_HERE, any_value, NULL, true},
    {"csh", env_print_csh, ENV_HERE, env_csh_problem, NULL, true},
    {"mpirun", print_mpirun, ENV_WORDS, no_controls, NULL, false},
    {"srun", print_srun, ENV_WORDS, no_controls, NULL, false},
    {"sbatch", env_print_sbatch, ENV_HERE, no_controls, NULL, false},
    {"docker", print_docker, ENV_IMAGE, docker_value, docker_folder, false},
    {"k8s", print_k8s, ENV_IMAGE, utf8_only, utf8_only, false},
    {"cdi", print_cdi, ENV_IMAGE, utf8_only, utf8_only, false},
    {"apptainer", env_print_apptainer, ENV_IMAGE, env_apptainer_problem, env_apptainer_folder, false},
    {"dockerfile", env_print_dockerfile, ENV_IMAGE, env_dockerfile_problem, env_dockerfile_problem, false},
    {"systemd", env_print_systemd, ENV_HERE, env_systemd_problem, NULL, true},
    {"ray", print_ray, ENV_WORDS, utf8_only, NULL, false},
    {"kernelspec", env_print_kernelspec, ENV_HERE, utf8_only, NULL, false},
    {"json", print_json, ENV_HERE, utf8_only, NULL, false},
};

/** The row of a name that subcommands.def lists. */
const struct env_format *env_format_named(const char *name) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return &formats[0];
}
