/* nccl-redirect env: the variables in the form that a launcher wants. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct setting {
    const char *name, *value;
};

struct plan {
    struct setting list[16];
    unsigned count;
    const char *shim, *folder;  /* the preload and where it lies */
    const char *backend_folder; /* of a backend that is named by its path, or NULL */
};

static const char *const carried[] = {
#define XX(name, values, standard, meaning) #name,
#include "env.def"
};

/* One word for a POSIX shell. */
static const char *quoted(const char *text) {
    struct ncr_text result = {0};
    if (*text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+%@")])
        return text;
    ncr_text_add(&result, "'");
    for (; *text; text++)
        ncr_text_add(&result, *text == '\'' ? "'\\''" : "%c", *text);
    ncr_text_add(&result, "'");
    return ncr_text_get(&result);
}

static void print_sh(const struct plan *plan) {
    for (unsigned i = 0; i < plan->count; i++)
        printf("export %s=%s\n", plan->list[i].name, quoted(plan->list[i].value));
}

static void print_mpirun(const struct plan *plan) {
    for (unsigned i = 0; i < plan->count; i++)
        printf("%s-x %s", i ? " " : "", quoted(formatted("%s=%s", plan->list[i].name, plan->list[i].value)));
    putchar('\n');
}

/* A comma ends a value for srun; but ALL passes on what the environment has. */
static void print_srun(const struct plan *plan) {
    struct ncr_text text = {0};
    ncr_text_add(&text, "--export=ALL");
    for (unsigned i = 0; i < plan->count; i++) {
        const struct setting *one = &plan->list[i];
        if (strchr(one->value, ','))
            complain("srun cannot carry the comma in %s; set it before srun, --export=ALL passes "
                     "it on: export %s=%s",
                     one->name, one->name, quoted(one->value));
        else
            ncr_text_add(&text, ",%s=%s", one->name, one->value);
    }
    puts(quoted(ncr_text_get(&text)));
}

static void print_docker(const struct plan *plan) {
    for (unsigned i = 0; i < plan->count; i++)
        printf("--env %s ", quoted(formatted("%s=%s", plan->list[i].name, plan->list[i].value)));
    printf("--volume %s", quoted(formatted("%s:%s:ro", plan->folder, plan->folder)));
    if (plan->backend_folder)
        printf(" --volume %s", quoted(formatted("%s:%s:ro", plan->backend_folder, plan->backend_folder)));
    putchar('\n');
}

static void print_k8s(const struct plan *plan) {
    puts("# of a pod; CONTAINER is the name of the container that runs the job\nspec:\n  "
         "containers:\n    - name: CONTAINER\n      env:");
    for (unsigned i = 0; i < plan->count; i++)
        printf("        - name: %s\n          value: %s\n", plan->list[i].name, json_quoted(plan->list[i].value));
    const struct setting mounts[] = {{"nccl-redirect", plan->folder}, {"nccl-backend", plan->backend_folder}};
    puts("      volumeMounts:");
    for (int i = 0; i < 2 && mounts[i].value; i++)
        printf("        - name: %s\n          mountPath: %s\n          readOnly: true\n", mounts[i].name,
               json_quoted(mounts[i].value));
    puts("  volumes:");
    for (int i = 0; i < 2 && mounts[i].value; i++)
        printf("    - name: %s\n      hostPath:\n        path: %s\n        type: Directory\n", mounts[i].name,
               json_quoted(mounts[i].value));
}

static struct json *settings_json(const struct plan *plan) {
    struct json *object = json_object();
    for (unsigned i = 0; i < plan->count; i++)
        json_add_text(object, plan->list[i].name, plan->list[i].value);
    return object;
}

static void print_json(const struct plan *plan) {
    json_print(settings_json(plan));
}

/* Ray's runtime environment: ray.init(runtime_env=…), ray job submit --runtime-env-json. */
static void print_ray(const struct plan *plan) {
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
 * Container Device Interface: podman run --device nccl-redirect/nccl=torch. The choice is the device, so it is not in
 * the common part.
 */
static void print_cdi(const struct plan *plan) {
    struct json *spec = json_object(), *edits = json_object(), *env = json_list(), *mounts = json_list(),
                *devices = json_list();
    json_add_text(spec, "cdiVersion", "0.6.0");
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

static const struct format {
    const char *name;
    void (*print)(const struct plan *plan);
    bool elsewhere; /* another file system: what LD_PRELOAD lists here may not be there */
} formats[] = {
    {"sh", print_sh, false},        {"mpirun", print_mpirun, false}, {"srun", print_srun, false},
    {"docker", print_docker, true}, {"k8s", print_k8s, true},        {"ray", print_ray, false},
    {"cdi", print_cdi, true},       {"json", print_json, false},
};

static const struct format *format_named(const char *name) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name ? name : "sh") == 0)
            return &formats[i];
    return NULL;
}

static void add(struct plan *plan, const char *name, const char *value) {
    plan->list[plan->count++] = (struct setting){name, value};
}

int subcommand_env(struct request *request) {
    const struct format *format = format_named(request->format);
    struct plan plan = {.count = 0};
    struct ncr_config config;
    struct decision decision;
    const char *problem;
    if (!format) {
        complain("--format=%s is not known; use sh, mpirun, srun, docker, k8s, ray, cdi or json", request->format);
        return EXIT_USAGE;
    }
    apply_choice(request);
    ncr_config_read(&config);
    if (config.problem.length) {
        complain("%s", ncr_text_get(&config.problem));
        return EXIT_USAGE;
    }
    decide(&decision, &config, NULL); /* a RCCL has a preload of its own */
    plan.shim = shim_path(decision.chosen && decision.chosen->rccl, &problem);
    if (!plan.shim) {
        complain("%s", problem);
        return EXIT_UNMET;
    }
    plan.folder = ncr_parent(plan.shim, 1);
    plan.backend_folder = config.choice == NCR_CHOOSE_PATH ? ncr_parent(config.path, 1) : NULL;
    const char *entry = preload_entry(plan.shim);
    add(&plan, "LD_PRELOAD", format->elsewhere ? entry : preload_with(getenv("LD_PRELOAD"), NULL, entry));
    for (size_t i = 0; i < sizeof carried / sizeof *carried; i++)
        if (getenv(carried[i]))
            add(&plan, carried[i], getenv(carried[i]));
    format->print(&plan);
    return EXIT_FINE;
}
