// Pointwise networks of the pyramid, forward and backward, on a block of positions; local to the
// file that includes it: see pyramid_fit_kernel.h. Units are rows of positions, given by address.
#pragma once

#include "pyramid_dense.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

// PARTS x PARTS weights of a layer's gradient stay in registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr size_t PARTS = 4;
#else
constexpr size_t PARTS = 3;
#endif

static_assert(BLOCK % TILE == 0, "tiles fill a block");

// Adds the sums over positions of gradient times input to `lanes` of a matrix [units, inputs].
template <size_t UNITS_HERE, size_t INPUTS_HERE>
inline void outer_tile(const float* const* gradient, const float* const* in, float* lanes,
                       size_t inputs, size_t size) {
  Vector sums[UNITS_HERE][INPUTS_HERE] = {};
  for (size_t first = 0; first < size; first += LANES) {
    Vector values[INPUTS_HERE];
#pragma GCC unroll 8
    for (size_t k = 0; k < INPUTS_HERE; ++k) values[k] = load(in[k] + first);
#pragma GCC unroll 8
    for (size_t u = 0; u < UNITS_HERE; ++u) {
      const Vector factor = load(gradient[u] + first);
#pragma GCC unroll 8
      for (size_t k = 0; k < INPUTS_HERE; ++k) sums[u][k] += factor * values[k];
    }
  }
#pragma GCC unroll 8
  for (size_t u = 0; u < UNITS_HERE; ++u)
#pragma GCC unroll 8
    for (size_t k = 0; k < INPUTS_HERE; ++k) {
      float* const sum = lanes + (u * inputs + k) * LANES;
      store(sum, load(sum) + sums[u][k]);
    }
}

template <size_t UNITS_HERE, size_t COUNT>
inline void outer_rest(const float* const* gradient, const float* const* in, float* lanes,
                       size_t inputs, size_t left, size_t size) {
  if constexpr (COUNT > 0) {
    if (left == COUNT)
      outer_tile<UNITS_HERE, COUNT>(gradient, in, lanes, inputs, size);
    else
      outer_rest<UNITS_HERE, COUNT - 1>(gradient, in, lanes, inputs, left, size);
  }
}

template <size_t UNITS_HERE>
inline void outer_units(const float* const* gradient, const float* const* in, float* lanes,
                        size_t inputs, size_t size) {
  size_t k = 0;
  for (; k + PARTS <= inputs; k += PARTS)
    outer_tile<UNITS_HERE, PARTS>(gradient, in + k, lanes + k * LANES, inputs, size);
  outer_rest<UNITS_HERE, PARTS - 1>(gradient, in + k, lanes + k * LANES, inputs, inputs - k, size);
}

template <size_t COUNT>
inline void outer_last(const float* const* gradient, const float* const* in, float* lanes,
                       size_t inputs, size_t left, size_t size) {
  if constexpr (COUNT > 0) {
    if (left == COUNT)
      outer_units<COUNT>(gradient, in, lanes, inputs, size);
    else
      outer_last<COUNT - 1>(gradient, in, lanes, inputs, left, size);
  }
}

void outer(const float* const* gradient, size_t units, const float* const* in, size_t inputs,
           float* lanes, size_t size) {
  size_t unit = 0;
  for (; unit + PARTS <= units; unit += PARTS)
    outer_units<PARTS>(gradient + unit, in, lanes + unit * inputs * LANES, inputs, size);
  outer_last<PARTS - 1>(gradient + unit, in, lanes + unit * inputs * LANES, inputs, units - unit,
                        size);
}

void bias_sums(const float* const* gradient, size_t units, float* lanes, size_t size) {
  for (size_t unit = 0; unit < units; ++unit) {
    Vector total = load(lanes + unit * LANES);
    for (size_t at = 0; at < size; at += LANES) total += load(gradient[unit] + at);
    store(lanes + unit * LANES, total);
  }
}

// Where the units of one block lie.
struct Rooms {
  float* inputs[MAX_WIDTH];
  float* hidden[MAX_LAYERS - 1][MAX_WIDTH];
  float* back[2][MAX_WIDTH];
  float* input_gradients[MAX_WIDTH];
  float* outputs[MAX_OUTPUTS];
  float* output_gradients[MAX_OUTPUTS];
};
static_assert(MAX_CONTEXTS <= MAX_WIDTH && MAX_LEVELS <= MAX_WIDTH, "inputs have rooms");

inline float* rooms_from(float* at, float** units, size_t count) {
  for (size_t unit = 0; unit < count; ++unit, at += STRIDE) units[unit] = at;
  return at;
}

inline void rooms_of(const Scratch& scratch, Rooms& rooms) {
  float* at = rooms_from(scratch.blocks, rooms.inputs, MAX_WIDTH);
  for (auto& layer : rooms.hidden) at = rooms_from(at, layer, MAX_WIDTH);
  for (auto& layer : rooms.back) at = rooms_from(at, layer, MAX_WIDTH);
  at = rooms_from(at, rooms.input_gradients, MAX_WIDTH);
  at = rooms_from(at, rooms.outputs, MAX_OUTPUTS);
  rooms_from(at, rooms.output_gradients, MAX_OUTPUTS);
}

// `size` is a multiple of TILE.
void forward(const Network& net, const float* parameters, const Rooms& rooms, bool outputs,
             size_t size) {
  const float* const* in = rooms.inputs;
  for (size_t layer = 0; layer < net.layers; ++layer) {
    const bool last = layer + 1 == net.layers;
    if (last && !outputs) return;
    Ending ending;
    ending.bias = parameters + net.bias[layer];
    ending.relu = !last;
    float* const* const out = last ? rooms.outputs : rooms.hidden[layer];
    dense(in, net.sizes[layer], {parameters + net.weight[layer], net.sizes[layer], 1}, ending, out,
          net.sizes[layer + 1], size);
    in = out;
  }
  Ending ending;
  ending.add = true;
  dense(rooms.inputs, net.sizes[0], {parameters + net.skip, net.sizes[0], 1}, ending, rooms.outputs,
        net.sizes[net.layers], size);
}

// The gradients of inputs may lie where the inputs lie: they are written last.
void backward(const Network& net, const float* parameters, const Rooms& rooms, float* lanes,
              size_t size) {
  const size_t outputs = net.sizes[net.layers], inputs = net.sizes[0];
  const float* const* gradient = rooms.output_gradients;
  outer(gradient, outputs, rooms.inputs, inputs, lanes + net.skip * LANES, size);
  for (size_t layer = net.layers; layer-- > 0;) {
    const size_t fan_in = net.sizes[layer], units = net.sizes[layer + 1];
    const float* const* const in = layer ? rooms.hidden[layer - 1] : rooms.inputs;
    outer(gradient, units, in, fan_in, lanes + net.weight[layer] * LANES, size);
    bias_sums(gradient, units, lanes + net.bias[layer] * LANES, size);
    Ending ending;
    ending.mask = layer ? in : nullptr;
    float* const* const out = layer ? rooms.back[layer & 1] : rooms.input_gradients;
    dense(gradient, units, {parameters + net.weight[layer], 1, fan_in}, ending, out, fan_in, size);
    gradient = out;
  }
  Ending ending;
  ending.add = true;
  dense(rooms.output_gradients, outputs, {parameters + net.skip, 1, inputs}, ending,
        rooms.input_gradients, inputs, size);
}

}  // namespace
}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
