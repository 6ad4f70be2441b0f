/* SPDX-License-Identifier: Apache-2.0 */
/* A preload with nothing in it: what a process costs and does with any preload at all. */
static const char nothing[] __attribute__((used)) = "";
