/* The order in which candidates are tried. docs/selection.md is this file in prose. */
#include "loader.h"

/** "torch", "system", … as messages and the tool write it. */
const char *ncr_method_name(enum ncr_method method) {
    static const char *const names[] = {"torch", "system", "program", "path"};
    return names[method];
}

/** Hand one candidate to the visitor; true stops the search. */
bool ncr_offer(struct ncr_search *search, enum ncr_method method, const char *origin, const char *path) {
    const struct ncr_candidate candidate = {.method = method, .origin = origin, .path = path};
    return search->visit(search->arg, &candidate);
}

/** Visit the candidates of the configured choice in order. Returns whether the visitor stopped. */
bool ncr_candidates(struct ncr_search *search) {
    const struct ncr_config *config = search->config;
    switch (config->choice) {
    case NCR_CHOOSE_AUTO:
        return ncr_torch(search) || ncr_system(search) || ncr_program(search);
    case NCR_CHOOSE_TORCH:
        return ncr_torch(search) || (config->fallback && ncr_system(search));
    case NCR_CHOOSE_SYSTEM:
        return ncr_system(search);
    case NCR_CHOOSE_PATH:
        return ncr_offer(search, NCR_BY_PATH, config->additional ? config->decided_by : "NCCL_REDIRECT", config->path);
    case NCR_CHOOSE_NOTHING:
        break;
    }
    return false;
}
