// Layers of pointwise networks on a block of positions; local to the file that includes it: see
// pyramid_fit_kernel.h. Units are rows of positions, given by address.
#pragma once

#include "pyramid_fit_vector.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

// A tile of sums stays in registers: ROWS vectors of positions times UNITS outputs of a layer.
#if defined(__AVX512F__)
constexpr size_t ROWS = 4, UNITS = 6;
#elif defined(__AVX2__)
constexpr size_t ROWS = 4, UNITS = 3;
#elif defined(__aarch64__)
constexpr size_t ROWS = 4, UNITS = 6;
#else
constexpr size_t ROWS = 4, UNITS = 2;
#endif
constexpr size_t TILE = ROWS * LANES;

// A matrix, or its transpose.
struct Matrix {
  const float* weight;
  size_t to_unit, to_input;
};

struct Ending {
  const float* bias = nullptr;          // start from it,
  bool add = false;                     // or from what the outputs hold, or from 0
  bool relu = false;                    // cut at 0
  const float* const* mask = nullptr;   // keep where these are positive
};

template <size_t COUNT>
inline void dense_tile(const float* const* in, size_t inputs, Matrix matrix, Ending ending,
                       float* const* out, size_t unit, size_t size) {
  const float* const weight = matrix.weight + unit * matrix.to_unit;
  for (size_t first = 0; first < size; first += TILE) {
    Vector sums[COUNT][ROWS];
#pragma GCC unroll 8
    for (size_t u = 0; u < COUNT; ++u)
#pragma GCC unroll 8
      for (size_t row = 0; row < ROWS; ++row)
        sums[u][row] = ending.add    ? load(out[unit + u] + first + row * LANES)
                       : ending.bias ? all(ending.bias[unit + u])
                                     : Vector{};
    for (size_t k = 0; k < inputs; ++k) {
      Vector values[ROWS];
#pragma GCC unroll 8
      for (size_t row = 0; row < ROWS; ++row) values[row] = load(in[k] + first + row * LANES);
#pragma GCC unroll 8
      for (size_t u = 0; u < COUNT; ++u) {
        const float factor = weight[u * matrix.to_unit + k * matrix.to_input];
#pragma GCC unroll 8
        for (size_t row = 0; row < ROWS; ++row) sums[u][row] += factor * values[row];
      }
    }
#pragma GCC unroll 8
    for (size_t u = 0; u < COUNT; ++u)
#pragma GCC unroll 8
      for (size_t row = 0; row < ROWS; ++row) {
        Vector value = sums[u][row];
        if (ending.relu) value = larger(value, Vector{});
        if (ending.mask)
          value = load(ending.mask[unit + u] + first + row * LANES) > 0.0f ? value : Vector{};
        store(out[unit + u] + first + row * LANES, value);
      }
  }
}

template <size_t COUNT>
inline void dense_rest(const float* const* in, size_t inputs, Matrix matrix, Ending ending,
                       float* const* out, size_t unit, size_t units, size_t size) {
  if constexpr (COUNT > 0) {
    if (units - unit == COUNT)
      dense_tile<COUNT>(in, inputs, matrix, ending, out, unit, size);
    else
      dense_rest<COUNT - 1>(in, inputs, matrix, ending, out, unit, units, size);
  }
}

void dense(const float* const* in, size_t inputs, Matrix matrix, Ending ending, float* const* out,
           size_t units, size_t size) {
  size_t unit = 0;
  for (; unit + UNITS <= units; unit += UNITS)
    dense_tile<UNITS>(in, inputs, matrix, ending, out, unit, size);
  dense_rest<UNITS - 1>(in, inputs, matrix, ending, out, unit, units, size);
}

}  // namespace
}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
