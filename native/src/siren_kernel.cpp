// Evaluates a SIREN at one block of points; compiled once per instruction set, as KERNEL.
//
// Every point sees the same operations in the same order: its value does not depend on its place in
// the block, on the block, or on the thread.

#include "siren_layers.h"

namespace inrcodec {
namespace KERNEL {
namespace {

void sine_of(float* values, size_t count) {
  for (size_t at = 0; at < count; at += LANES) store(values + at, sine(load(values + at)));
}

float* evaluate(const Siren& siren, float* values, float* spare) {
  const float* layer = siren.layers;
  size_t fan_in = siren.inputs;
  for (size_t depth = 0; depth <= siren.depth; ++depth) {
    const bool last = depth == siren.depth;
    const size_t units = last ? siren.outputs : siren.width;
    affine(values, fan_in, layer, units, spare);
    if (!last) sine_of(spare, units * BLOCK);
    layer += units * fan_in + units;
    fan_in = units;
    float* const full = spare;
    spare = values;
    values = full;
  }
  return values;
}

}  // namespace

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
extern const Kernel kernel;
const Kernel kernel = {TEXT(KERNEL), available, evaluate, sine_of};

}  // namespace KERNEL
}  // namespace inrcodec
