// The render of a pyramid: what its kernels work on, and the table of kernels of an instruction
// set. Plain data, for the reason that pyramid_fit_kernel.h gives.
//
// Every value is made by separate products and sums in the order of the bitstream's specification,
// so that it has the same bits on every instruction set and in whatever part it is computed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace inrcodec {
namespace pyramid {

// Positions that pass through the network together: their units stay in the L1 cache.
constexpr std::size_t RENDER_BLOCK = 128;

// Floats from one unit of a block to the next.
constexpr std::size_t RENDER_STRIDE = RENDER_BLOCK + 16;

// A row starts at a multiple of so many floats, and holds as many whole vectors.
constexpr std::size_t ROW_UNIT = 16;

// Floats beside a row that kernels write before they read them, on either side.
constexpr std::size_t ROW_EDGE = 2;

// Floats past the end of planes that kernels may read and write.
constexpr std::size_t PLANE_SLACK = RENDER_BLOCK + ROW_UNIT;

// One axis of a part of a grid.
struct Extent {
  std::size_t first, count;
};

// Weights are [outputs, inputs]; all layers but the last one are cut at 0.
struct RenderLayer {
  std::size_t outputs, inputs;
  const float *weight, *bias;
};

struct RenderNetwork {
  std::size_t layers;
  const RenderLayer* layer;
  const float* skip;
};

// Addresses of the units of a block.
struct RenderRooms {
  const float** inputs;
  float **hidden[2], **outputs;
};

// Weights are [outputs, sources, 3]: a source is a row of an input beside the row.
struct Convolution {
  std::size_t outputs, sources;
  const float *weight, *bias;
  bool relu;
};

struct RenderKernel {
  const char* name;
  bool (*available)();
  void (*widen)(const std::int32_t* latents, std::size_t count, float* to);
  // Doubles the first of two axes; the other one holds `inner` floats, a multiple of ROW_UNIT.
  void (*double_lead)(const float* from, Extent in, Extent out, std::size_t inner,
                      const float* filter, float* to);
  // Doubles every one of `rows` along itself, with what it writes on their edges.
  void (*double_rows)(float* from, std::size_t pitch, Extent in, float* to, std::size_t to_pitch,
                      Extent out, std::size_t rows, const float* filter);
  // Values at `count` positions of planes of inputs and outputs, which lie so far from each other.
  void (*network)(const RenderNetwork&, const RenderRooms&, const float* inputs, float* outputs,
                  std::size_t plane, std::size_t count);
  // Adds to a row of every channel, at `from`, what the convolution makes of the sources.
  void (*convolve)(const Convolution&, const float* const* sources, const float* const* from,
                   float* const* to, std::size_t width);
};

}  // namespace pyramid
}  // namespace inrcodec
