// Sums over points of gradient times input, for the kernels of a SIREN's fit; local to the file
// that includes it.
#pragma once

#include <utility>  // types alone

#include "siren_layers.h"

namespace inrcodec {
namespace KERNEL {
namespace {

// A tile of OUTER_UNITS x OUTER_INPUTS sums stays in registers, beside OUTER_INPUTS inputs.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr size_t OUTER_UNITS = 4, OUTER_INPUTS = 7;
#else
constexpr size_t OUTER_UNITS = 3, OUTER_INPUTS = 4;
#endif

// Units of some layer in `blocks` blocks that lie `stride` floats apart.
struct Rows {
  const float* start;
  size_t stride;
};

// Lanes that have `HALF` in their number get b, the others a, each added to the lane HALF away.
template <size_t HALF, size_t... LANE>
inline Vector fold(Vector a, Vector b, std::index_sequence<LANE...>) {
#if defined(__clang__)
  const Vector own = __builtin_shufflevector(a, b, (LANE & HALF ? LANE + LANES : LANE)...);
  const Vector other =
      __builtin_shufflevector(a, b, (LANE & HALF ? (LANE ^ HALF) + LANES : LANE ^ HALF)...);
#else
  typedef int Places __attribute__((vector_size(4 * LANES)));
  const Vector own = __builtin_shuffle(a, b, Places{(LANE & HALF ? LANE + LANES : LANE)...});
  const Vector other = __builtin_shuffle(
      a, b, Places{(LANE & HALF ? (LANE ^ HALF) + LANES : LANE ^ HALF)...});
#endif
  return own + other;
}

// The sum of each of 2 * SPAN vectors, in as many lanes; of those from `count` on, zero.
template <size_t SPAN>
inline Vector sums_of(const Vector* vectors, size_t count) {
  if constexpr (SPAN == 0) {
    return count ? *vectors : Vector{};
  } else {
    const Vector low = sums_of<SPAN / 2>(vectors, count);
    const Vector high = count > SPAN ? sums_of<SPAN / 2>(vectors + SPAN, count - SPAN) : Vector{};
    return fold<SPAN>(low, high, std::make_index_sequence<LANES>());
  }
}

constexpr size_t whole(size_t count) { return (count + LANES - 1) / LANES * LANES; }

// Adds the sums of COUNT vectors to whole(COUNT) floats.
template <size_t COUNT>
inline void add_sums(const Vector* vectors, float* to) {
#pragma GCC unroll 8
  for (size_t first = 0; first < COUNT; first += LANES)
    store(to + first, load(to + first) + sums_of<LANES / 2>(vectors + first, COUNT - first));
}

template <size_t UNITS_HERE, size_t INPUTS_HERE>
void outer_tile(Rows gradient, Rows in, size_t blocks, float* to) {
  Vector sums[UNITS_HERE * INPUTS_HERE] = {};
  for (size_t block = 0; block < blocks; ++block) {
    const float* const rows = gradient.start + block * gradient.stride;
    const float* const columns = in.start + block * in.stride;
    for (size_t at = 0; at < BLOCK; at += LANES) {
      Vector values[INPUTS_HERE];
#pragma GCC unroll 8
      for (size_t k = 0; k < INPUTS_HERE; ++k) values[k] = load(columns + k * BLOCK + at);
#pragma GCC unroll 8
      for (size_t u = 0; u < UNITS_HERE; ++u) {
        const Vector factor = load(rows + u * BLOCK + at);
#pragma GCC unroll 8
        for (size_t k = 0; k < INPUTS_HERE; ++k) sums[u * INPUTS_HERE + k] += factor * values[k];
      }
    }
  }
  add_sums<UNITS_HERE * INPUTS_HERE>(sums, to);
}

template <size_t UNITS_HERE, size_t INPUTS_HERE>
inline void outer_columns(Rows gradient, Rows in, size_t inputs, size_t blocks, float* to) {
  if (inputs == INPUTS_HERE)
    outer_tile<UNITS_HERE, INPUTS_HERE>(gradient, in, blocks, to);
  else if constexpr (INPUTS_HERE > 1)
    outer_columns<UNITS_HERE, INPUTS_HERE - 1>(gradient, in, inputs, blocks, to);
}

template <size_t UNITS_HERE>
inline void outer_rows(Rows gradient, size_t units, Rows in, size_t inputs, size_t blocks,
                       float* to) {
  if (units == UNITS_HERE)
    outer_columns<UNITS_HERE, OUTER_INPUTS>(gradient, in, inputs, blocks, to);
  else if constexpr (UNITS_HERE > 1)
    outer_rows<UNITS_HERE - 1>(gradient, units, in, inputs, blocks, to);
}

// Calls what(unit, units, input, inputs, place) for each tile of a matrix [units, inputs]; tiles
// are as equal as can be. Returns how many sums there are.
template <typename What>
inline size_t for_tiles(size_t units, size_t inputs, const What& what) {
  const size_t down = (units + OUTER_UNITS - 1) / OUTER_UNITS;
  const size_t across = (inputs + OUTER_INPUTS - 1) / OUTER_INPUTS;
  const size_t taller = units % down, wider = inputs % across;
  size_t place = 0;
  for (size_t row = 0, unit = 0; row < down; ++row) {
    const size_t height = units / down + (row < taller);
    for (size_t column = 0, k = 0; column < across; ++column) {
      const size_t width = inputs / across + (column < wider);
      what(unit, height, k, width, place);
      place += whole(height * width);
      k += width;
    }
    unit += height;
  }
  return place;
}

// Adds to `sums`, in the order of for_tiles, those of a layer's weights; returns how many.
inline size_t outer(Rows gradient, size_t units, Rows in, size_t inputs, size_t blocks,
                    float* sums) {
  return for_tiles(units, inputs, [&](size_t unit, size_t height, size_t k, size_t width,
                                      size_t place) {
    outer_rows<OUTER_UNITS>({gradient.start + unit * BLOCK, gradient.stride}, height,
                            {in.start + k * BLOCK, in.stride}, width, blocks, sums + place);
  });
}

// Adds to `sums` those of a layer's biases: whole(units).
inline void bias_sums(Rows gradient, size_t units, size_t blocks, float* sums) {
  for (size_t first = 0; first < units; first += LANES) {
    Vector totals[LANES] = {};
    const size_t count = units - first < LANES ? units - first : LANES;
    for (size_t unit = 0; unit < count; ++unit)
      for (size_t block = 0; block < blocks; ++block)
        for (size_t at = 0; at < BLOCK; at += LANES)
          totals[unit] +=
              load(gradient.start + block * gradient.stride + (first + unit) * BLOCK + at);
    add_sums<LANES>(totals, sums + first);
  }
}

}  // namespace
}  // namespace KERNEL
}  // namespace inrcodec
