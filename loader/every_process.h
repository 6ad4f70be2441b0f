/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For what the constructor runs and writes, in every process of a job: kept together, in pages that the dynamic loader has
 * touched anyway. A page more is 0.2 % of the exec of `true`. Such a function calls nothing of shim/imports.def, except
 * where the process turns out to need it.
 */
#ifndef NCR_EVERY_PROCESS_H
#define NCR_EVERY_PROCESS_H

#define NCR_EVERY_PROCESS __attribute__((section(".text.startup")))
#define NCR_EVERY_PROCESS_DATA __attribute__((section(".data")))

#endif
