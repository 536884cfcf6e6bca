// A tile of a pyramid's render: how its floats lie, what it is made from, and where.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pyramid_render.h"

namespace inrcodec {
namespace pyramid {

constexpr std::size_t rounded_up(std::size_t count, std::size_t unit) {
  return (count + unit - 1) / unit * unit;
}

// How the floats of a window lie: rows along the last axis, planes of them one after the other.
struct Layout {
  std::size_t rows, pitch, plane;

  Layout(const Window& window, std::size_t axes)
      : rows(1), pitch(rounded_up(window[axes - 1].count + 2 * ROW_EDGE, ROW_UNIT)) {
    for (std::size_t axis = 0; axis + 1 < axes; ++axis) rows *= window[axis].count;
    plane = rows * pitch + PLANE_SLACK;
  }
};

// Zeros that start at a multiple of 64 bytes, with room before for the edge of a row.
class Buffer {
 public:
  explicit Buffer(std::size_t count) : floats_(count + 2 * ROW_UNIT + PLANE_SLACK) {
    const auto address = reinterpret_cast<std::uintptr_t>(floats_.data() + ROW_UNIT);
    start_ = ROW_UNIT + (64 - address % 64) % 64 / sizeof(float);
  }
  float* start() { return floats_.data() + start_; }

 private:
  std::vector<float> floats_;
  std::size_t start_;
};

// What is to be rendered, and from what.
struct RenderTask {
  const RenderKernel& kernel;
  const RenderShape& shape;
  Window window;
  std::vector<Window> windows;  // of latents
  const std::vector<const std::int32_t*>& latents;
  const float* upsampling;
  std::vector<RenderLayer> layers;
  RenderNetwork network;
  std::vector<Convolution> convolutions;
  float* out;
};

// What a thread has of its own, enough for any tile.
struct RenderSpace {
  Buffer planes[2], between[2], values[2], units;
  std::vector<Window> windows;
  std::vector<const float*> inputs, sources, from;
  std::vector<float*> hidden[2], outputs, to;
};

RenderSpace space_for(const RenderTask& task, const Window& tile);

// Writes the values of a tile to the task's `out`.
void render_tile(const RenderTask& task, RenderSpace& space, const Window& tile);

// As latent_windows.
void fill_windows(const RenderShape& shape, const Window& window, Window* windows);

}  // namespace pyramid
}  // namespace inrcodec
