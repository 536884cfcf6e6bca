// Joins the driver of a SIREN's fit with its kernels: one source, compiled once per instruction
// set.
#pragma once

#include <cstddef>

#include "siren.h"

namespace inrcodec {

// A network as a step needs it. `siren.layers` has omega_0 multiplied in and the centre of the
// outputs added. `turned` has what takes gradients back, for each layer from the last one to
// `first` + 1: W transposed [in, out], then a zero for each input.
struct FitNet {
  Siren siren;
  const float* turned;
  std::size_t first;  // layer whose gradient is wanted; depth + 1 where none is
  bool wild;          // sines may be asked for arguments beyond those of the polynomials
};

// Points [count, inputs] and what they should have [count, outputs]; `slope` is the loss's
// derivative by a value of error 1.
struct FitPoints {
  const float *coordinates, *targets;
  std::size_t count;
  float slope;
};

// Blocks whose activations are kept: sums over lanes come once per group of them, and their sines
// and cosines are to stay in the L2 cache.
constexpr std::size_t GROUP = 4;

struct FitKernel {
  const char* name;
  bool (*available)();
  // Floats that `descend` works in.
  std::size_t (*room)(const FitNet& net);
  // Floats of the sums of a gradient, in an order of the kernel's own.
  std::size_t (*sum_count)(const FitNet& net);
  // Adds the gradient to `sums`; returns the sum of squared errors. Both buffers are aligned.
  double (*descend)(const FitNet& net, const FitPoints& points, float* room, float* sums);
  // Writes sums as [W | b] matrices [out, in + 1], layer after layer from the first one to `end`,
  // but for the factor that a layer's weights were multiplied with.
  void (*arrange)(const FitNet& net, const double* sums, float* end);
};

}  // namespace inrcodec
