// Cuts a window into tiles that are rendered by themselves, and hands them to threads.

#include "pyramid_render.h"

#include <algorithm>
#include <cmath>

#include "kernel_choice.h"
#include "pyramid_fit_threads.h"
#include "pyramid_render_tile.h"

namespace inrcodec {
namespace pyramid {

#define DECLARE(name)                        \
  namespace name {                           \
  extern const RenderKernel render_kernel;   \
  }
FOR_EACH_BUILT(DECLARE)
#undef DECLARE

std::vector<const RenderKernel*> render_kernels() {
#define ADDRESS(name) &name::render_kernel,
  return available<RenderKernel>({FOR_EACH_BUILT(ADDRESS)});
#undef ADDRESS
}

namespace {

// Floats of a tile's planes, about: they stay in the L2 cache. Positions of a tile at least.
constexpr std::size_t TILE_FLOATS = std::size_t{1} << 17, LEAST_TILE = 2048;

// Edges of tiles: rows that fill whole vectors with all that surrounds them, and of these as many
// as there is room for. Along kept axes nothing surrounds a tile.
Window tile_of(const RenderShape& shape, const Window& window) {
  const std::size_t axes = shape.lattice.size(), halved = axes - shape.kept;
  std::size_t room = std::max(TILE_FLOATS / (shape.levels + shape.outputs), LEAST_TILE);
  // The more axes, the more surrounds a tile, and the more cubic it has to be.
  for (std::size_t axis = 2; axis < halved; ++axis) room *= 4;
  const std::size_t rows[] = {rounded_up(room, ROW_UNIT), 272, 64, 32};
  Window tile = window;
  for (std::size_t axis = axes; axis-- > 0;) {
    const std::size_t longest = rows[halved - 1];
    std::size_t edge = room;
    if (axis + 1 == axes)
      edge = longest - 2 * ROW_EDGE - std::min(2 * shape.residuals, longest / 4);
    else if (axis >= shape.kept)
      edge = static_cast<std::size_t>(
          std::pow(static_cast<double>(room), 1.0 / (static_cast<double>(axis - shape.kept) + 1)));
    tile[axis].count = std::clamp<std::size_t>(edge, 1, window[axis].count);
    room = std::max<std::size_t>(1, room / tile[axis].count);
  }
  return tile;
}

void lay_out(RenderTask& task, const float* parameters) {
  const RenderShape& shape = task.shape;
  task.upsampling = parameters;
  parameters += TAPS * (shape.levels - 1);
  std::size_t inputs = shape.levels;
  for (std::size_t layer = 0; layer <= shape.synthesis.size(); ++layer) {
    const std::size_t units =
        layer < shape.synthesis.size() ? shape.synthesis[layer] : shape.outputs;
    task.layers.push_back({units, inputs, parameters, parameters + units * inputs});
    parameters += units * (inputs + 1);
    inputs = units;
  }
  task.network = {task.layers.size(), task.layers.data(), parameters};
  parameters += shape.outputs * shape.levels;
  std::size_t sources = shape.outputs;
  for (std::size_t axis = shape.kept + 1; axis < shape.lattice.size(); ++axis) sources *= 3;
  for (std::size_t index = 0; index < shape.residuals; ++index) {
    const float* const bias = parameters + shape.outputs * sources * 3;
    task.convolutions.push_back(
        {shape.outputs, sources, parameters, bias, index + 1 < shape.residuals});
    parameters = bias + shape.outputs;
  }
}

}  // namespace

std::size_t parameter_count(const RenderShape& shape) {
  std::size_t count = TAPS * (shape.levels - 1), inputs = shape.levels, kernel = shape.outputs;
  for (const std::size_t units : shape.synthesis) {
    count += units * (inputs + 1);
    inputs = units;
  }
  count += shape.outputs * (inputs + 1 + shape.levels);
  for (std::size_t axis = shape.kept; axis < shape.lattice.size(); ++axis) kernel *= 3;
  return count + shape.residuals * shape.outputs * (kernel + 1);
}

Window grown(const RenderShape& shape, Window window, std::size_t margin) {
  for (std::size_t axis = shape.kept; axis < shape.lattice.size(); ++axis) {
    const std::size_t stop =
        std::min(shape.lattice[axis], window[axis].first + window[axis].count + margin);
    window[axis].first -= std::min(window[axis].first, margin);
    window[axis].count = stop - window[axis].first;
  }
  return window;
}

std::vector<Window> latent_windows(const RenderShape& shape, const Window& window) {
  std::vector<Window> windows(shape.levels);
  fill_windows(shape, window, windows.data());
  return windows;
}

void render(const RenderKernel& kernel, const RenderShape& shape, const float* parameters,
            const Window& window, const std::vector<const std::int32_t*>& latents, float* out,
            std::size_t threads) {
  const std::size_t axes = shape.lattice.size();
  const Window reach = grown(shape, window, shape.residuals);
  RenderTask task{
      kernel, shape, window, latent_windows(shape, reach), latents, nullptr, {}, {}, {}, out};
  lay_out(task, parameters);
  const Window tile = tile_of(shape, window);
  std::array<std::size_t, MAX_AXES> counts{};
  std::size_t tiles = 1;
  for (std::size_t axis = 0; axis < axes; ++axis) {
    counts[axis] = (window[axis].count + tile[axis].count - 1) / tile[axis].count;
    tiles *= counts[axis];
  }
  threads = std::min(threads, tiles);
  std::vector<RenderSpace> spaces;
  spaces.reserve(threads);
  for (std::size_t thread = 0; thread < threads; ++thread)
    spaces.push_back(space_for(task, tile));
  Crew crew(threads);
  crew.share(tiles, [&](std::size_t number, std::size_t thread) {
    Window own = tile;
    for (std::size_t axis = axes; axis-- > 0; number /= counts[axis]) {
      const std::size_t before = number % counts[axis] * tile[axis].count;
      own[axis] = {window[axis].first + before,
                   std::min(tile[axis].count, window[axis].count - before)};
    }
    render_tile(task, spaces[thread], own);
  });
}

}  // namespace pyramid
}  // namespace inrcodec
