// Joins a pyramid's latents on a window with its values there, on as many threads as asked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pyramid_fit_kernel.h"
#include "pyramid_render_kernel.h"

namespace inrcodec {
namespace pyramid {

// A part of a grid, axis by axis.
using Window = std::array<Extent, MAX_AXES>;

struct RenderShape {
  std::vector<std::size_t> lattice;
  std::size_t kept, outputs, levels, residuals;
  std::vector<std::size_t> synthesis;
};

// Every render kernel built that this CPU can run, the fastest first.
std::vector<const RenderKernel*> render_kernels();

// Of the networks that a render takes.
std::size_t parameter_count(const RenderShape& shape);

// A window with so much of the lattice around it, along axes that are not kept.
Window grown(const RenderShape& shape, Window window, std::size_t margin);

// What values on a window need of every level, finest first.
std::vector<Window> latent_windows(const RenderShape& shape, const Window& window);

// `parameters` are upsampling, synthesis and residuals in the order of the bitstream, `latents`
// those of `latent_windows`, `out` is [outputs, *window]. Throws std::bad_alloc before it writes.
void render(const RenderKernel& kernel, const RenderShape& shape, const float* parameters,
            const Window& window, const std::vector<const std::int32_t*>& latents, float* out,
            std::size_t threads);

}  // namespace pyramid
}  // namespace inrcodec
