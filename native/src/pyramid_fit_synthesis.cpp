// The pointwise network from upsampled levels to values, and back; compiled once per instruction
// set.

#include "pyramid_fit_dense.h"
#include "pyramid_fit_isa.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

constexpr float OUTPUT_CENTRE = 0.5f;

// Levels are read, and their gradients written, where they lie: no copy.
inline void place_levels(const Fit& fit, size_t first, Rooms& rooms) {
  for (size_t level = 0; level < fit.level_count; ++level) {
    const Level& one = fit.levels[level];
    rooms.inputs[level] = (level ? one.upsampled[0] : one.values) + first;
    rooms.input_gradients[level] = (level ? one.upsampled[0] : one.gradient) + first;
  }
}

}  // namespace

void synthesise(const Fit& fit, Scratch& scratch, size_t first, size_t count) {
  const Grid& grid = fit.levels[0].grid;
  Rooms rooms;
  rooms_of(scratch, rooms);
  for (size_t end = first + count; first < end; first += BLOCK) {
    const size_t here = least(BLOCK, end - first);
    place_levels(fit, first, rooms);
    forward(fit.synthesis, fit.parameters, rooms, true, whole(here, TILE));
    for_runs(grid, first, here, [&](size_t row, size_t column, size_t run, size_t done) {
      for (size_t channel = 0; channel < fit.outputs; ++channel) {
        const float* const from = rooms.outputs[channel] + done;
        float* const line = fit.values[0].channels[channel] + row * (grid.width + 2);
        float* const to = line + column;
        for (size_t at = 0; at < run; at += LANES)
          store_first(to + at, load(from + at) + OUTPUT_CENTRE, run - at);
        if (!column) to[-1] = to[0];
        if (column + run == grid.width) to[run] = to[run - 1];
      }
    });
  }
}

void synthesise_back(const Fit& fit, Scratch& scratch, size_t first, size_t count) {
  const Grid& grid = fit.levels[0].grid;
  const Image& gradient = fit.gradients[fit.residuals & 1];
  Rooms rooms;
  rooms_of(scratch, rooms);
  for (size_t end = first + count; first < end; first += BLOCK) {
    const size_t here = least(BLOCK, end - first), size = whole(here, TILE);
    place_levels(fit, first, rooms);
    forward(fit.synthesis, fit.parameters, rooms, false, size);
    for_runs(grid, first, here, [&](size_t row, size_t column, size_t run, size_t done) {
      for (size_t channel = 0; channel < fit.outputs; ++channel) {
        const float* const from =
            gradient.channels[channel] + row * (grid.width + 2) + column;
        float* const to = rooms.output_gradients[channel] + done;
        for (size_t at = 0; at < run; at += LANES) store_first(to + at, load(from + at), run - at);
      }
    });
    for (size_t channel = 0; channel < fit.outputs; ++channel)
      for (size_t at = here; at < size; ++at) rooms.output_gradients[channel][at] = 0;
    backward(fit.synthesis, fit.parameters, rooms, scratch.lanes, size);
  }
}

}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
