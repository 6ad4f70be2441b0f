/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types and the arithmetic of reductions. Integers wrap around; float16 and bfloat16 are computed in float32 and
 * rounded to nearest even after each operation.
 */
#include "backend.h"

#include <string.h>

/* What can be done with elements of one type. NULL functions: the type is only moved. `divide` exists for integers. */
struct arithmetic {
    size_t size;
    bool floating;
    void (*combine)(ncclRedOp_t op, void *into, const void *from, size_t count);
    void (*multiply)(void *elements, const void *factor, size_t count);
    void (*divide)(void *elements, uint64_t divisor, size_t count);
    void (*set)(void *element, double value);
};

static uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float same_float(float value) {
    return value;
}
static double same_double(double value) {
    return value;
}

static float load_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = (uint32_t)(half & 0x7fff) << 13;
    if ((half & 0x7c00) == 0x7c00) /* infinity and NaN keep the highest exponent */
        return bits_float(sign | 0x7f800000 | rest);
    /* The bits as a float are too small by the difference of the exponents' biases; this holds for subnormals too. */
    return bits_float(sign | float_bits(bits_float(rest) * 0x1p112f));
}

static uint16_t store_half(float value) {
    uint32_t bits = float_bits(value), sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (bits >= float_bits(65520.0f)) /* halfway between the largest half and the next power of two */
        return (uint16_t)(sign | 0x7c00);
    if (bits < float_bits(0x1p-14f)) /* subnormal: next to 0.5 the float unit rounds to a multiple of 2^-24 */
        return (uint16_t)(sign | (float_bits(bits_float(bits) + 0.5f) - float_bits(0.5f)));
    bits -= 112U << 23;
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | bits >> 13);
}

static float load_bfloat(uint16_t bfloat) {
    return bits_float((uint32_t)bfloat << 16);
}

static uint16_t store_bfloat(float value) {
    uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40); /* rounding could turn a NaN into infinity */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/*
 * The builtins leave the result wrapped around, for signed types too, where plain C has no answer. `wide` is the type
 * in which an average is divided: towards zero, as NCCL does.
 */
#define INTEGER(name, type, wide)                                                                                      \
    static void combine_##name(ncclRedOp_t op, void *into, const void *from, size_t count) {                           \
        type *a = into;                                                                                                \
        const type *b = from;                                                                                          \
        for (size_t i = 0; i < count; i++) {                                                                           \
            if (op == ncclSum)                                                                                         \
                (void)__builtin_add_overflow(a[i], b[i], &a[i]);                                                       \
            else if (op == ncclProd)                                                                                   \
                (void)__builtin_mul_overflow(a[i], b[i], &a[i]);                                                       \
            else if (op == ncclMax ? b[i] > a[i] : b[i] < a[i])                                                        \
                a[i] = b[i];                                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    static void multiply_##name(void *elements, const void *factor, size_t count) {                                    \
        type *a = elements;                                                                                            \
        for (size_t i = 0; i < count; i++)                                                                             \
            (void)__builtin_mul_overflow(a[i], *(const type *)factor, &a[i]);                                          \
    }                                                                                                                  \
    static void divide_##name(void *elements, uint64_t divisor, size_t count) {                                        \
        type *a = elements;                                                                                            \
        for (size_t i = 0; i < count; i++)                                                                             \
            a[i] = (type)(a[i] / (wide)divisor);                                                                       \
    }

#define FLOATING(name, type, value, load, store)                                                                       \
    static void combine_##name(ncclRedOp_t op, void *into, const void *from, size_t count) {                           \
        type *a = into;                                                                                                \
        const type *b = from;                                                                                          \
        for (size_t i = 0; i < count; i++) {                                                                           \
            value x = load(a[i]), y = load(b[i]);                                                                      \
            if (op == ncclSum)                                                                                         \
                a[i] = store(x + y);                                                                                   \
            else if (op == ncclProd)                                                                                   \
                a[i] = store(x * y);                                                                                   \
            else if (op == ncclMax ? y > x : y < x)                                                                    \
                a[i] = b[i];                                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    static void multiply_##name(void *elements, const void *factor, size_t count) {                                    \
        type *a = elements;                                                                                            \
        value y = load(*(const type *)factor);                                                                         \
        for (size_t i = 0; i < count; i++)                                                                             \
            a[i] = store(load(a[i]) * y);                                                                              \
    }                                                                                                                  \
    static void set_##name(void *element, double number) {                                                             \
        *(type *)element = store((value)number);                                                                       \
    }

INTEGER(int8, int8_t, int64_t)
INTEGER(uint8, uint8_t, uint64_t)
INTEGER(int32, int32_t, int64_t)
INTEGER(uint32, uint32_t, uint64_t)
INTEGER(int64, int64_t, int64_t)
INTEGER(uint64, uint64_t, uint64_t)
FLOATING(half, uint16_t, float, load_half, store_half)
FLOATING(float, float, float, same_float, same_float)
FLOATING(double, double, double, same_double, same_double)
FLOATING(bfloat, uint16_t, float, load_bfloat, store_bfloat)

#define INTEGER_ROW(name, type)                                                                                        \
    { sizeof(type), false, combine_##name, multiply_##name, divide_##name, NULL }
#define FLOATING_ROW(name, type)                                                                                       \
    { sizeof(type), true, combine_##name, multiply_##name, NULL, set_##name }

static const struct arithmetic table[ncclNumTypes] = {
    [ncclInt8] = INTEGER_ROW(int8, int8_t),
    [ncclUint8] = INTEGER_ROW(uint8, uint8_t),
    [ncclInt32] = INTEGER_ROW(int32, int32_t),
    [ncclUint32] = INTEGER_ROW(uint32, uint32_t),
    [ncclInt64] = INTEGER_ROW(int64, int64_t),
    [ncclUint64] = INTEGER_ROW(uint64, uint64_t),
    [ncclFloat16] = FLOATING_ROW(half, uint16_t),
    [ncclFloat32] = FLOATING_ROW(float, float),
    [ncclFloat64] = FLOATING_ROW(double, double),
    [ncclBfloat16] = FLOATING_ROW(bfloat, uint16_t),
    [ncclFloat8e4m3] = {.size = 1},
    [ncclFloat8e5m2] = {.size = 1},
};

size_t type_size(ncclDataType_t type) {
    int known = HOSTMEM_VERSION >= 22403 ? ncclNumTypes : HOSTMEM_VERSION >= 21003 ? ncclFloat8e4m3 : ncclBfloat16;
    return (unsigned)type < (unsigned)known ? table[type].size : 0;
}

bool type_is_reducible(ncclDataType_t type) {
    return type_size(type) > 0 && table[type].combine;
}

bool type_is_floating(ncclDataType_t type) {
    return type_size(type) > 0 && table[type].floating;
}

void reduction_scale_by_inverse(struct reduction *reduction, ncclDataType_t type, int divisor) {
    reduction->scaled = true;
    table[type].set(reduction->scale, 1.0 / divisor);
}

void reduction_combine(const struct reduction *how, ncclDataType_t type, void *into, const void *from, size_t count) {
    table[type].combine(how->op, into, from, count);
}

void reduction_prepare(const struct reduction *how, ncclDataType_t type, void *elements, size_t count) {
    if (how->scaled)
        table[type].multiply(elements, how->scale, count);
}

void reduction_finish(const struct reduction *how, ncclDataType_t type, void *elements, size_t count) {
    if (how->divisor)
        table[type].divide(elements, how->divisor, count);
}
