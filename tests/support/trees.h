/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folder trees as package managers leave them: virtual environments, torch packages, wheels of NCCL; and the question
 * that most tests of the choice ask: which NCCL does this command get? NCCLs are links to real ones. libtorch_cuda.so
 * is a stand-in: discovery looks whether it is there, and what it exports, never at what it computes.
 */
#ifndef NCR_TEST_TREES_H
#define NCR_TEST_TREES_H

#include "support.h"

/* Three real NCCLs, one for each way to be chosen, and the versions that they answer. */
#define TORCH_NCCL real_nccl("cu12-2.21.5")
#define TORCH_VERSION 22105
#define SYSTEM_NCCL real_nccl("cu12-2.32.3")
#define SYSTEM_VERSION 23203
#define NAMED_NCCL real_nccl("cu11-2.14.3")
#define NAMED_VERSION 21403

#define PYTHON "/usr/bin/python3"

const char *python_folder(void);                     /* "python3.11", that of PYTHON; skips the test without one */
const char *make_venv(bool system_packages);         /* a virtual environment of PYTHON: its prefix */
const char *site_of(const char *prefix);             /* PREFIX/lib/python3.11/site-packages */
void make_torch(const char *site);                   /* a torch package that computes on GPUs, without an NCCL */
void make_wheel(const char *site, const char *nccl); /* nvidia/nccl/lib/libnccl.so.2, a link to `nccl` */
const char *folder_with(const char *name, const char *file); /* a fresh folder with a link to `file` */

/* A command that opens libnccl.so.2 by its bare name and prints the version: as a C program, as Python. */
#define C_PROGRAM CMD(program("open_nccl"), "libnccl.so.2")
#define PYTHON_IMPORTS "import ctypes, os\n"
#define PYTHON_CALLS                                                                                                   \
    "nccl = ctypes.CDLL('libnccl.so.2')\n"                                                                             \
    "version = ctypes.c_int()\n"                                                                                       \
    "nccl.ncclGetVersion(ctypes.byref(version))\n"                                                                     \
    "print('version=' + str(version.value))\n"
#define PYTHON_PROGRAM PYTHON_IMPORTS PYTHON_CALLS

/* Assert that a text has so many lines. */
#define assert_lines(text, count) assert_lines_at(text, count, __FILE__, __LINE__)
#define assert_one_line(text) assert_lines(text, 1)
void assert_lines_at(const char *all, unsigned wanted, const char *file, int line);

/* Assert that a command under the shim prints "version=VERSION" and ends well; 0: that its dlopen of NCCL fails. */
#define assert_serves(environment, command, version) assert_serves_at(environment, command, version, __FILE__, __LINE__)
void assert_serves_at(const char *const *environment, const char *const *command, int version, const char *file,
                      int line);

#endif
