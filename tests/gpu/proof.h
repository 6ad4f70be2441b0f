/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What proves which NCCL was active: its own version, and the process map. Every process of a test program prints one
 * line
 *
 *   proof: version=2.28.9 maps=/path/libnccl.so.2.28.9 KEY=VALUE...
 *
 * which tests/gpu/run compares with the file that was chosen. Values hold no blanks.
 */
#ifndef NCR_GPU_PROOF_H
#define NCR_GPU_PROOF_H

/* Print the line. `version_code` is ncclGetVersion's answer; the rest is printed behind it. */
void proof(int version_code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Every NCCL that this process has mapped, nccl-redirect's own file and NCCL's plugins not counted: real paths joined
 * by commas, or "none". Valid until the next call.
 */
const char *proof_maps(void);

#endif
