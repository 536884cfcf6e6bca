// Vectors of an instruction set and functions of them, for the kernels of the pyramid's fit. All of
// it is local to the file that includes it: see pyramid_fit_kernel.h.
#pragma once

#include "pyramid_fit_kernel.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

using std::ptrdiff_t;
using std::size_t;

#if defined(__AVX512F__)
constexpr size_t LANES = 16;
#elif defined(__AVX2__)
constexpr size_t LANES = 8;
#else
constexpr size_t LANES = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int Ints __attribute__((vector_size(4 * LANES)));
typedef unsigned Bits __attribute__((vector_size(4 * LANES)));
typedef float Loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Loose*>(from); }
inline void store(float* to, Vector vector) { *reinterpret_cast<Loose*>(to) = vector; }
inline Vector all(float value) { return value - Vector{}; }
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }
inline Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
inline Vector magnitude(Vector a) { return (Vector)((Bits)a & 0x7fffffffu); }

constexpr size_t least(size_t a, size_t b) { return a < b ? a : b; }
constexpr size_t whole(size_t count, size_t unit) { return (count + unit - 1) / unit * unit; }

inline Ints places() {
  Ints places;
  for (size_t lane = 0; lane < LANES; ++lane) places[lane] = static_cast<int>(lane);
  return places;
}

// The first `count` lanes, the others zero.
inline Vector first_of(Vector vector, size_t count) {
  if (count >= LANES) return vector;
  return places() < static_cast<int>(count) ? vector : Vector{};
}

inline void store_first(float* to, Vector vector, size_t count) {
  if (count >= LANES) return store(to, vector);
  for (size_t lane = 0; lane < count; ++lane) to[lane] = vector[lane];
}

inline float sum(Vector vector) {
  float total = 0;
  for (size_t lane = 0; lane < LANES; ++lane) total += vector[lane];
  return total;
}

inline Vector floor_of(Vector x) {
  const Vector whole = __builtin_convertvector(__builtin_convertvector(x, Ints), Vector);
  return whole > x ? whole - 1.0f : whole;
}

constexpr float LOG2_E = 1.44269504f;
constexpr float LN_2 = 0.693147181f;

// 2^x, for x cut to -126..126; relative error 2e-7.
inline Vector exp2_of(Vector x) {
  constexpr float TO_INTEGER = 12582912.0f;  // 1.5 * 2^23: the sum's low bits are a rounded integer
  x = smaller(larger(x, all(-126.0f)), all(126.0f));
  const Vector shifted = x + TO_INTEGER;
  const Vector rest = (x - (shifted - TO_INTEGER)) * LN_2;
  Vector series = rest * 1.38888889e-3f + 8.33333333e-3f;
  series = series * rest + 4.16666667e-2f;
  series = series * rest + 1.66666667e-1f;
  series = series * rest + 0.5f;
  series = series * rest + 1.0f;
  series = series * rest + 1.0f;
  return series * (Vector)(((Bits)shifted + 127u) << 23);
}

inline Vector exp_of(Vector x) { return exp2_of(x * LOG2_E); }

// e^x - 1 without cancellation.
inline Vector expm1_of(Vector x) {
  Vector series = x * (1.0f / 40320) + 1.0f / 5040;
  series = series * x + 1.0f / 720;
  series = series * x + 1.0f / 120;
  series = series * x + 1.0f / 24;
  series = series * x + 1.0f / 6;
  series = series * x + 0.5f;
  series = series * x + 1.0f;
  return magnitude(x) < 0.5f ? series * x : exp_of(x) - 1.0f;
}

// log2 of a positive normal number.
inline Vector log2_of(Vector x) {
  const Ints bits = (Ints)x;
  Ints exponent = (bits >> 23) - 127;
  Vector mantissa = (Vector)((bits & 0x7fffff) | 0x3f800000);
  const Ints high = mantissa > 1.41421356f;
  mantissa = high ? mantissa * 0.5f : mantissa;
  exponent -= high;
  const Vector ratio = (mantissa - 1.0f) / (mantissa + 1.0f);
  const Vector square = ratio * ratio;
  Vector series = square * 0.22222222f + 0.28571429f;
  series = series * square + 0.4f;
  series = series * square + 0.66666667f;
  series = series * square + 2.0f;
  return __builtin_convertvector(exponent, Vector) + ratio * series * LOG2_E;
}

// The place of a row on the leading axes.
inline void row_place(const Grid& grid, size_t row, size_t* place) {
  for (size_t axis = grid.axes - 1; axis-- > 0; row /= grid.sizes[axis])
    place[axis] = row % grid.sizes[axis];
}

inline size_t row_of(const Grid& grid, const size_t* place) {
  size_t row = 0;
  for (size_t axis = 0; axis + 1 < grid.axes; ++axis) row = row * grid.sizes[axis] + place[axis];
  return row;
}

// Calls what for each part of the positions that lies in one row: row, column, its count, and how
// many positions come before it.
template <typename What>
inline void for_runs(const Grid& grid, size_t first, size_t count, const What& what) {
  for (size_t done = 0; done < count;) {
    const size_t row = (first + done) / grid.width, column = (first + done) % grid.width;
    const size_t run = least(count - done, grid.width - column);
    what(row, column, run, done);
    done += run;
  }
}

}  // namespace
}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
