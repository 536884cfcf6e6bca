// One step of the fit of a pyramid field: what its kernels work on, and the table of kernels of an
// instruction set. Plain data: kernels are compiled once per instruction set, and the linker would
// keep one copy of an inline function, perhaps the one for a CPU that is not this one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace inrcodec {
namespace pyramid {

constexpr std::size_t MAX_AXES = 4;
constexpr std::size_t MAX_LEVELS = 10;
constexpr std::size_t MAX_LAYERS = 4;
constexpr std::size_t MAX_WIDTH = 64;
constexpr std::size_t MAX_CONTEXTS = 43;
constexpr std::size_t MAX_OUTPUTS = 4;
constexpr std::size_t MAX_RESIDUALS = 2;
constexpr std::size_t MAX_LANES = 16;
constexpr std::size_t TAPS = 4;

// Positions that pass through a network together.
constexpr std::size_t BLOCK = 256;

// Floats from one unit of a block to the next: a cache line more, so that units that are read
// together do not fall on the same sets of the cache.
constexpr std::size_t STRIDE = BLOCK + 16;

// Floats that may be read or written past the end of a plane.
constexpr std::size_t SLACK = BLOCK + MAX_LANES;

// Floats before and after a row of scratch.
constexpr std::size_t MARGIN = 32;

// Rows of positions along the last axis, in raster order. The first `kept` axes are as long on all
// levels; the last axis never is one of them.
struct Grid {
  std::size_t axes, kept;
  std::size_t sizes[MAX_AXES];
  std::size_t rows, width, count;
};

// Where a network's arrays start among the parameters.
struct Network {
  std::size_t layers;
  std::size_t sizes[MAX_LAYERS + 1];
  std::size_t weight[MAX_LAYERS], bias[MAX_LAYERS], skip;
};

struct Context {
  std::size_t up;
  std::ptrdiff_t offset[MAX_AXES];
};

struct Level {
  Grid grid;
  const float* latents;  // not rounded; the caller's
  float* slopes;         // derivative of the rounding, then the gradient; the caller's
  float* bits;           // of each latent, or null; the caller's
  float* values;         // rounded, softly or hard
  float* gradient;       // of the values, but for what they do as contexts
  float* as_context;     // the rest of it
  // By stage: the values upsampled to level `stage`'s grid; backward their gradient, in place.
  float* upsampled[MAX_LEVELS];
};

// Values on the lattice by channel, each row between two samples for its surroundings.
struct Image {
  float* channels[MAX_OUTPUTS];
};

enum Mode { SOFT, STRAIGHT, HARD };

struct Fit {
  std::size_t outputs, level_count, residuals, context_count, lead_taps, parameter_count;
  Context contexts[MAX_CONTEXTS];
  Network context_network, synthesis;
  std::size_t upsampling, residual_weight[MAX_RESIDUALS], residual_bias[MAX_RESIDUALS];
  Level levels[MAX_LEVELS];
  Image values[MAX_RESIDUALS];  // what a residual convolution reads
  Image gradients[2], masked;
  const float* target[MAX_OUTPUTS];
  float lowest, highest;  // what values are clamped to

  const float* parameters;
  Mode mode;
  float rate;  // what a bit counts in the loss
  float temperature, noise;
  std::uint32_t seed;
  float peak;     // largest code value of what is decoded
  float* render;  // [*lattice, outputs], or null
};

// What a thread has of its own.
struct Scratch {
  float* blocks;  // units of a network and their gradients
  float* rows;    // a few rows of the lattice, `row` floats each
  std::size_t row;
  float* lanes;  // sums of the parameters' gradient, by lane
  double* sums;  // the same, of the tasks that ended
  double bits, squares, coded_squares;
};

constexpr std::size_t SCRATCH_UNITS =
    2 * MAX_WIDTH + (MAX_LAYERS - 1) * MAX_WIDTH + 2 * MAX_WIDTH + 2 * MAX_OUTPUTS;
constexpr std::size_t SCRATCH_ROWS = 6;

struct Kernel {
  const char* name;
  bool (*available)();
  // Rounds `count` latents from `first` on, and leaves the derivative.
  void (*round)(const Fit&, std::size_t level, std::size_t first, std::size_t count);
  // `rows` of the output grid.
  void (*upsample)(const Fit&, Scratch&, std::size_t level, std::size_t stage, std::size_t first,
                   std::size_t rows);
  // From the gradient of output rows, in place, that of the rows before the last axis was doubled.
  void (*upsample_back_last)(const Fit&, Scratch&, std::size_t level, std::size_t stage,
                             std::size_t first, std::size_t rows);
  // From these the gradient of input rows.
  void (*upsample_back_lead)(const Fit&, std::size_t level, std::size_t stage, std::size_t first,
                             std::size_t rows);
  // Positions from a multiple of BLOCK on.
  void (*synthesise)(const Fit&, Scratch&, std::size_t first, std::size_t count);
  void (*synthesise_back)(const Fit&, Scratch&, std::size_t first, std::size_t count);
  // Rows of convolution `index`; after the last one, the loss and its gradient.
  void (*residual)(const Fit&, Scratch&, std::size_t index, std::size_t first, std::size_t rows);
  void (*residual_back)(const Fit&, Scratch&, std::size_t index, std::size_t first,
                        std::size_t rows);
  // Loss and gradient of rows where there is no convolution.
  void (*loss)(const Fit&, Scratch&, std::size_t first, std::size_t rows);
  // Bits of latents, and what their gradient adds.
  void (*rate)(const Fit&, Scratch&, std::size_t level, std::size_t first, std::size_t count);
  void (*join)(const Fit&, std::size_t level, std::size_t first, std::size_t count);
  void (*flush)(const Fit&, Scratch&, std::size_t first, std::size_t count);
  // A row; `coarser` is the row of `shared` of the next coarser level that covers it, or null.
  void (*adam)(float* latents, const float* gradient, float* mean, float* square,
               const float* coarser, float* shared, std::size_t count, const float* rates);
};

}  // namespace pyramid
}  // namespace inrcodec
