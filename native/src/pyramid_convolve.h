// Convolutions of 3 samples along the last axis, of rows given by address; local to the file that
// includes it: see pyramid_fit_kernel.h.
#pragma once

#include "pyramid_fit_vector.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

// Compilers like to load anew for every product, though across cache lines that costs twice.
inline Vector loaded(const float* from) {
  Vector vector = load(from);
#if defined(__AVX512F__)
  __asm__("" : "+v"(vector));
#endif
  return vector;
}

// sums[o][step] += for every source row the three products of weight[o][source][3].
template <size_t C, size_t COUNT>
inline void convolve_at(const float* const* rows, size_t sources, const float* weight,
                        size_t column, Vector (*sums)[COUNT]) {
  for (size_t source = 0; source < sources; ++source) {
    const float* const from = rows[source] + column;
#pragma GCC unroll 3
    for (size_t tap = 0; tap < 3; ++tap) {
      Vector values[COUNT];
#pragma GCC unroll 4
      for (size_t step = 0; step < COUNT; ++step)
        values[step] = loaded(from + tap + step * LANES - 1);
#pragma GCC unroll 4
      for (size_t channel = 0; channel < C; ++channel) {
        const float factor = weight[(channel * sources + source) * 3 + tap];
#pragma GCC unroll 4
        for (size_t step = 0; step < COUNT; ++step) sums[channel][step] += factor * values[step];
      }
    }
  }
}

}  // namespace
}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
