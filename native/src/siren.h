// Joins the query driver with the kernels: one source, compiled once per instruction set.
#pragma once

#include <cstddef>

namespace inrcodec {

// Points that a kernel takes through all layers at a time; their activations stay in the L1 cache.
constexpr std::size_t BLOCK = 64;

// Buffers that a kernel works in start at a multiple of this many bytes.
constexpr std::size_t ALIGNMENT = 64;

// `depth` layers sin(W h + b) of `width` units, then W h + b. `layers` holds W [out, in] row by row,
// then b, layer after layer; omega_0 is multiplied in.
struct Siren {
  std::size_t inputs, outputs, depth, width;
  const float* layers;
};

struct Kernel {
  const char* name;
  bool (*available)();
  // Takes coordinates [inputs][BLOCK] in `values` to values [outputs][BLOCK] in one of the two
  // buffers, and returns which. Both have room for the widest layer.
  float* (*evaluate)(const Siren& siren, float* values, float* spare);
  // sin, in place; `count` is a multiple of BLOCK.
  void (*sine)(float* values, std::size_t count);
};

}  // namespace inrcodec
