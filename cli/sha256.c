/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4), for fingerprints of files that carry no build-id and for --sha256. The system's libraries for it are
 * not everywhere where the tool must run, and a checksum needs no more than this.
 */
#include "cli.h"

#include <string.h>
#include <unistd.h>

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotated(uint32_t word, int bits) {
    return word >> bits | word << (32 - bits);
}

static void add_block(uint32_t state[8], const unsigned char *block) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t first = v[7] + (rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)) +
                         ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[i] + w[i];
        uint32_t second = (rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)) +
                          ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += first;
        v[0] = first + second;
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

/* The end: a bit, zeros, and the length in bits. */
static void add_end(uint32_t state[8], const unsigned char *rest, size_t size, uint64_t total) {
    unsigned char block[128] = {0};
    size_t length = size < 56 ? 64 : 128;
    memcpy(block, rest, size);
    block[size] = 0x80;
    for (int i = 0; i < 8; i++)
        block[length - 1 - (size_t)i] = (unsigned char)(total * 8 >> 8 * i);
    for (size_t at = 0; at < length; at += 64)
        add_block(state, block + at);
}

/** The checksum of a regular file in hexadecimal, or NULL. */
const char *sha256_of_file(const char *path) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    static unsigned char buffer[1 << 16];
    struct stat status;
    struct ncr_text text = {0};
    int file = ncr_file_open(path, &status);
    size_t size = 0;
    uint64_t total = 0;
    ssize_t got = 0;
    while (file >= 0 && (got = read(file, buffer + size, sizeof buffer - size)) > 0) {
        size_t at = 0;
        total += (uint64_t)got;
        for (size += (size_t)got; size - at >= 64; at += 64)
            add_block(state, buffer + at);
        memmove(buffer, buffer + at, size -= at);
    }
    if (file >= 0)
        close(file);
    if (file < 0 || got < 0)
        return NULL;
    add_end(state, buffer, size, total);
    for (int i = 0; i < 8; i++)
        ncr_text_add(&text, "%08x", state[i]);
    return ncr_text_get(&text);
}
