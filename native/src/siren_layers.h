// Layers of sines on a block of points; local to the file that includes it. Lanes are points.
//
// No header with inline functions may be included in a file that is compiled once per instruction
// set: the linker keeps one copy of each, perhaps the one for a CPU that is not this one.
#pragma once

#include "siren.h"

namespace inrcodec {
namespace KERNEL {
namespace {

using std::size_t;

// A tile of sums stays in registers: ROWS vectors of points times UNITS outputs, beside ROWS
// activations and a weight.
#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 4, UNITS = 6;
#elif defined(__AVX2__)
constexpr int LANES = 8, ROWS = 4, UNITS = 3;
#elif defined(__aarch64__)
constexpr int LANES = 4, ROWS = 4, UNITS = 6;
#else
constexpr int LANES = 4, ROWS = 4, UNITS = 2;
#endif
constexpr int TILE = LANES * ROWS;
static_assert(BLOCK % TILE == 0, "tiles fill a block");

typedef float Vector __attribute__((vector_size(4 * LANES), may_alias));
typedef unsigned Bits __attribute__((vector_size(4 * LANES), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector vector) { *reinterpret_cast<Vector*>(to) = vector; }

// What is left of an argument in [-pi/2, pi/2], and the sign of its sine and cosine there.
struct Reduced {
  Vector rest;
  Bits sign;
};

// Cody and Waite's reduction. Without FMA, pi has three parts, two of so few bits that for
// |x| <= 1e4 their products are exact.
inline Reduced reduce(Vector x) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  constexpr float PI_PARTS[] = {3.14159274f, -8.74227766e-8f};
#else
  constexpr float PI_PARTS[] = {3.140625f, 9.670257568359375e-4f, 6.278329573e-7f};
#endif
  constexpr float PER_PI = 0.318309886f;
  constexpr float TO_INTEGER = 12582912.0f;  // 1.5 * 2^23: the sum's low bits are a rounded integer
  const Vector shifted = x * PER_PI + TO_INTEGER;
  const Vector half_turns = shifted - TO_INTEGER;
  for (const float part : PI_PARTS) x = x - half_turns * part;
  return {x, (Bits)shifted << 31};
}

// A minimax polynomial (error 5e-9).
inline Vector sine(const Reduced& angle, Vector square) {
  Vector series = square * 2.59996389828e-6f - 1.98065743702e-4f;
  series = series * square + 8.33301673037e-3f;
  series = series * square - 1.66666570738e-1f;
  const Vector result = series * (square * angle.rest) + angle.rest;
  return (Vector)((Bits)result ^ angle.sign);
}

inline Vector sine(Vector x) {
  const Reduced angle = reduce(x);
  return sine(angle, angle.rest * angle.rest);
}

// A minimax polynomial (error 3e-10).
inline Vector cosine(const Reduced& angle, Vector square) {
  Vector series = square * -2.60494571944e-7f + 2.47603988083e-5f;
  series = series * square - 1.38883760010e-3f;
  series = series * square + 4.16666386835e-2f;
  series = series * square - 4.99999994990e-1f;
  const Vector result = series * square + 1.0f;
  return (Vector)((Bits)result ^ angle.sign);
}

// `units` rows of W h + b for a whole block.
template <int COUNT>
inline void affine_tile(const float* in, size_t fan_in, const float* weight, const float* bias,
                        float* out) {
  for (size_t first = 0; first < BLOCK; first += TILE) {
    Vector sum[COUNT][ROWS];
#pragma GCC unroll 8
    for (int unit = 0; unit < COUNT; ++unit)
#pragma GCC unroll 8
      for (int row = 0; row < ROWS; ++row) sum[unit][row] = bias[unit] - Vector{};
    for (size_t k = 0; k < fan_in; ++k) {
      Vector hidden[ROWS];
#pragma GCC unroll 8
      for (int row = 0; row < ROWS; ++row) hidden[row] = load(in + k * BLOCK + first + row * LANES);
#pragma GCC unroll 8
      for (int unit = 0; unit < COUNT; ++unit)
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; ++row)
          sum[unit][row] += weight[unit * fan_in + k] * hidden[row];
    }
#pragma GCC unroll 8
    for (int unit = 0; unit < COUNT; ++unit)
#pragma GCC unroll 8
      for (int row = 0; row < ROWS; ++row)
        store(out + unit * BLOCK + first + row * LANES, sum[unit][row]);
  }
}

template <int COUNT>
inline void affine_rest(size_t units, const float* in, size_t fan_in, const float* weight,
                        const float* bias, float* out) {
  if (units == COUNT)
    affine_tile<COUNT>(in, fan_in, weight, bias, out);
  else if constexpr (COUNT > 1)
    affine_rest<COUNT - 1>(units, in, fan_in, weight, bias, out);
}

// `weight` is [units, fan_in], the biases behind it.
inline void affine(const float* in, size_t fan_in, const float* weight, size_t units, float* out) {
  const float* bias = weight + units * fan_in;
  size_t unit = 0;
  for (; unit + UNITS <= units; unit += UNITS)
    affine_tile<UNITS>(in, fan_in, weight + unit * fan_in, bias + unit, out + unit * BLOCK);
  affine_rest<UNITS - 1>(units - unit, in, fan_in, weight + unit * fan_in, bias + unit,
                         out + unit * BLOCK);
}

// The instruction sets that this file was compiled for, and no more, are what the CPU must have.
inline bool available() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

}  // namespace
}  // namespace KERNEL
}  // namespace inrcodec
