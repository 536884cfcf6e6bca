// Convolutions of 3 samples along every axis that is not kept, of the rows of an image, and what
// goes back through them; local to the file that includes it: see pyramid_fit_kernel.h.
#pragma once

#include "pyramid_convolve.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

constexpr size_t MOST_NEAR = 27;  // rows around a row, itself with them

// Sums stay in registers: STEPS vectors of a row of every channel; the weights of GROUP rows.
constexpr size_t STEPS = 2;
#if defined(__AVX512F__)
constexpr size_t GROUP = 3;
#else
constexpr size_t GROUP = 1;
#endif

// Rows around a row, and which place of the kernel on the leading axes each one has.
struct Near {
  size_t row[MOST_NEAR], tap[MOST_NEAR];
};

// Forward: the rows that an output row reads, samples repeated outside. Backward: the output rows
// that read an input row; these are as many, for what the edge lacks it gets from repetition.
void near_rows(const Grid& grid, size_t row, bool backward, Near& near) {
  size_t place[MAX_AXES];
  row_place(grid, row, place);
  near.row[0] = near.tap[0] = 0;
  size_t found = 1;
  for (size_t axis = 0; axis + 1 < grid.axes; ++axis) {
    const size_t size = grid.sizes[axis], here = place[axis];
    if (axis < grid.kept) {
      // The first axes: there is one row so far.
      near.row[0] = near.row[0] * size + here;
      continue;
    }
    size_t there[3], taps[3], count = 0;
    for (size_t tap = 0; tap < 3; ++tap) {
      if (!backward) {
        const size_t next = here + tap;
        there[count] = next == 0 ? 0 : least(next - 1, size - 1);
        taps[count++] = tap;
        continue;
      }
      for (size_t from = here ? here - 1 : 0; from < least(here + 2, size); ++from) {
        const size_t next = from + tap;
        if ((next == 0 ? 0 : least(next - 1, size - 1)) != here) continue;
        there[count] = from;
        taps[count++] = tap;
      }
    }
    Near longer;
    for (size_t one = 0; one < found; ++one)
      for (size_t step = 0; step < 3; ++step) {
        longer.row[3 * one + step] = near.row[one] * size + there[step];
        longer.tap[3 * one + step] = near.tap[one] * 3 + taps[step];
      }
    found *= 3;
    near = longer;
  }
}

// Row pointers of all channels, [channel][near row].
template <size_t C>
void point_at(const Image& image, const Near& near, size_t near_count, size_t stride,
              const float** rows) {
  for (size_t channel = 0; channel < C; ++channel)
    for (size_t one = 0; one < near_count; ++one)
      rows[channel * near_count + one] = image.channels[channel] + near.row[one] * stride;
}

// Calls what(channel, column, sum) for the convolution of a row, vector by vector.
template <size_t C, typename What>
inline void convolve(const float* const* rows, size_t sources, const float* weight,
                     const float* bias, size_t width, const What& what) {
  for (size_t column = 0; column < width; column += STEPS * LANES) {
    Vector sums[C][STEPS];
#pragma GCC unroll 4
    for (size_t channel = 0; channel < C; ++channel)
#pragma GCC unroll 4
      for (size_t step = 0; step < STEPS; ++step)
        sums[channel][step] = all(bias ? bias[channel] : 0.0f);
    convolve_at<C, STEPS>(rows, sources, weight, column, sums);
#pragma GCC unroll 4
    for (size_t channel = 0; channel < C; ++channel)
#pragma GCC unroll 4
      for (size_t step = 0; step < STEPS; ++step)
        if (column + step * LANES < width)
          what(channel, column + step * LANES, sums[channel][step]);
  }
}

// Adds to `weight` the gradient that COUNT rows of sources and a row of gradients give.
template <size_t C, size_t COUNT>
inline void weight_tile(const float* const* given, const float* const* from, size_t source,
                        size_t sources, size_t width, float* weight) {
  Vector sums[COUNT][C][3] = {};
  for (size_t column = 0; column < width; column += LANES) {
    Vector factors[C];
#pragma GCC unroll 4
    for (size_t channel = 0; channel < C; ++channel)
      factors[channel] = first_of(load(given[channel] + column), width - column);
#pragma GCC unroll 4
    for (size_t one = 0; one < COUNT; ++one)
#pragma GCC unroll 3
      for (size_t tap = 0; tap < 3; ++tap) {
        const Vector value = loaded(from[source + one] + column + tap - 1);
#pragma GCC unroll 4
        for (size_t channel = 0; channel < C; ++channel)
          sums[one][channel][tap] += factors[channel] * value;
      }
  }
#pragma GCC unroll 4
  for (size_t one = 0; one < COUNT; ++one)
#pragma GCC unroll 4
    for (size_t channel = 0; channel < C; ++channel)
#pragma GCC unroll 3
      for (size_t tap = 0; tap < 3; ++tap) {
        float* const to = weight + ((channel * sources + source + one) * 3 + tap) * LANES;
        store(to, load(to) + sums[one][channel][tap]);
      }
}

// The convolution's weights as its adjoint wants them, for the output rows that read one input row.
template <size_t C>
void transposed(const float* weight, const Near& near, size_t near_count, float* to) {
  for (size_t in = 0; in < C; ++in)
    for (size_t out = 0; out < C; ++out)
      for (size_t one = 0; one < near_count; ++one) {
        const float* const from = weight + ((out * C + in) * near_count + near.tap[one]) * 3;
        for (size_t tap = 0; tap < 3; ++tap) *to++ = from[2 - tap];
      }
}

}  // namespace
}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
