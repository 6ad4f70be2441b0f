/* SPDX-License-Identifier: Apache-2.0 */
/* A decision in progress: shared by open.c, which makes it, and report.c, which reports the result. */
#ifndef NCR_CHOOSING_H
#define NCR_CHOOSING_H

#include "loader.h"

struct ncr_choosing {
    struct ncr_backend *backend;
    const struct ncr_config *config;
    ncr_dlopen *open;
    struct ncr_selection selection;
    struct ncr_text named_fault; /* why the file of config->system_variable was refused */
    dev_t device;                /* of the backend */
    ino_t inode;
};

void ncr_report_success(struct ncr_choosing *choosing);
void ncr_report_failure(struct ncr_choosing *choosing);
void ncr_report_lack(struct ncr_choosing *choosing);
void ncr_report_problem(struct ncr_choosing *choosing);

#endif
