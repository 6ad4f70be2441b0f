/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for what a command of the user writes, in TMPDIR or /tmp. */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *within(void) {
    const char *folder = ncr_environment("TMPDIR");
    return folder && *folder == '/' ? folder : "/tmp";
}

/** Make one; NULL, with *problem, if none can be made. The fix is TMPDIR. */
const char *temporary_folder(const char **problem) {
    char *folder = (char *)formatted("%s/nccl-redirect-XXXXXX", within());
    if (mkdtemp(folder))
        return folder;
    *problem = formatted("no folder can be made in %s: %s", within(), strerror(errno));
    return NULL;
}

/** Remove it with the files in it. */
void temporary_folder_remove(const char *folder) {
    DIR *files = opendir(folder);
    for (struct dirent *entry; files && (entry = readdir(files));)
        unlink(formatted("%s/%s", folder, entry->d_name));
    if (files)
        closedir(files);
    rmdir(folder);
}
