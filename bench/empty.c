/* SPDX-License-Identifier: Apache-2.0 */
/* A preload that is and does nothing: what any preload costs. */
