// Renders one tile: all levels upsampled to it, the network, the residual convolutions.

#include "pyramid_render_tile.h"

#include <algorithm>

namespace inrcodec {
namespace pyramid {

namespace {

std::size_t grid_size(const RenderShape& shape, std::size_t level, std::size_t axis) {
  return axis < shape.kept ? shape.lattice[axis] : ((shape.lattice[axis] - 1) >> level) + 1;
}

// Calls what(row, place) for every row of a window, with its place on the leading axes.
template <typename What>
void for_rows(const Window& window, std::size_t axes, const What& what) {
  const std::size_t rows = Layout(window, axes).rows;
  for (std::size_t row = 0; row < rows; ++row) {
    std::array<std::size_t, MAX_AXES> place{};
    std::size_t rest = row;
    for (std::size_t axis = axes - 1; axis-- > 0; rest /= window[axis].count)
      place[axis] = window[axis].first + rest % window[axis].count;
    what(row, place);
  }
}

// The row of a window that is nearest to a place on the leading axes.
std::size_t row_near(const Window& window, std::size_t axes,
                     const std::array<std::size_t, MAX_AXES>& place) {
  std::size_t row = 0;
  for (std::size_t axis = 0; axis + 1 < axes; ++axis) {
    const auto [first, count] = window[axis];
    const std::size_t at = place[axis] < first ? 0 : std::min(place[axis] - first, count - 1);
    row = row * count + at;
  }
  return row;
}

void read_latents(const RenderTask& task, std::size_t level, const Window& window, float* to) {
  const std::size_t axes = task.shape.lattice.size(), last = axes - 1;
  const Window& whole = task.windows[level];
  const std::size_t pitch = Layout(window, axes).pitch;
  for_rows(window, axes, [&](std::size_t row, const auto& place) {
    const std::size_t from =
        row_near(whole, axes, place) * whole[last].count + window[last].first - whole[last].first;
    task.kernel.widen(task.latents[level] + from, window[last].count, to + row * pitch);
  });
}

// Doubles one plane, axis after axis but those that are kept.
void upsample(const RenderTask& task, RenderSpace& space, const float* filter, float* plane,
              Window window, const Window& target, float* to) {
  const std::size_t axes = task.shape.lattice.size(), last = axes - 1;
  std::size_t outer = 1, which = 0;
  for (std::size_t axis = 0; axis < task.shape.kept; ++axis) outer *= window[axis].count;
  for (std::size_t axis = task.shape.kept; axis < last; ++axis, which ^= 1) {
    const Layout in(window, axes);
    const std::size_t inner = in.rows / outer / window[axis].count * in.pitch;
    float* const next = space.between[which].start();
    for (std::size_t part = 0; part < outer; ++part)
      task.kernel.double_lead(plane + part * window[axis].count * inner, window[axis],
                              target[axis], inner, filter,
                              next + part * target[axis].count * inner);
    window[axis] = target[axis];
    outer *= target[axis].count;
    plane = next;
  }
  const Layout in(window, axes), out(target, axes);
  task.kernel.double_rows(plane, in.pitch, window[last], to, out.pitch, target[last], out.rows,
                          filter);
}

// All levels on the window: a plane each.
float* upsample_all(const RenderTask& task, RenderSpace& space, const Window& window) {
  const std::size_t axes = task.shape.lattice.size(), levels = task.shape.levels;
  std::vector<Window>& windows = space.windows;
  fill_windows(task.shape, window, windows.data());
  for (std::size_t level = levels; level-- > 0;) {
    float* const planes = space.planes[level & 1].start();
    read_latents(task, level, windows[level], planes);
    const std::size_t plane = Layout(windows[level], axes).plane;
    for (std::size_t index = 1; index < levels - level; ++index) {
      const std::size_t coarser = Layout(windows[level + 1], axes).plane;
      upsample(task, space, task.upsampling + TAPS * level,
               space.planes[(level + 1) & 1].start() + (index - 1) * coarser, windows[level + 1],
               windows[level], planes + index * plane);
    }
  }
  return space.planes[0].start();
}

// One more residual convolution, from planes of values on `window` to those of `target`: rows of
// `place_in`, `pitch` apart, in channels `plane` apart.
void convolve(const RenderTask& task, RenderSpace& space, const Convolution& convolution,
              float* values, const Window& window, const Window& target, float* to,
              std::size_t pitch, std::size_t plane, const Window& place_in) {
  const std::size_t axes = task.shape.lattice.size(), last = axes - 1;
  const std::size_t outputs = task.shape.outputs, near = convolution.sources / outputs;
  const Layout layout(window, axes);
  const std::size_t width = window[last].count, shift = target[last].first - window[last].first;
  // Where rows end at the edge of the lattice, values repeat; elsewhere nobody reads these.
  for (std::size_t channel = 0; channel < outputs; ++channel)
    for (std::size_t row = 0; row < layout.rows; ++row) {
      float* const line = values + channel * layout.plane + row * layout.pitch;
      line[-1] = line[0];
      line[width] = line[width - 1];
    }
  for_rows(target, axes, [&](std::size_t, const auto& place) {
    for (std::size_t one = 0; one < near; ++one) {
      auto beside = place;
      std::size_t rest = one;
      for (std::size_t axis = last; axis-- > task.shape.kept; rest /= 3) {
        const std::size_t next = place[axis] + rest % 3;
        beside[axis] = next ? next - 1 : 0;
      }
      const float* const line = values + row_near(window, axes, beside) * layout.pitch + shift;
      for (std::size_t channel = 0; channel < outputs; ++channel)
        space.sources[channel * near + one] = line + channel * layout.plane;
    }
    const float* const line = values + row_near(window, axes, place) * layout.pitch + shift;
    float* const own = to + row_near(place_in, axes, place) * pitch;
    for (std::size_t channel = 0; channel < outputs; ++channel) {
      space.from[channel] = line + channel * layout.plane;
      space.to[channel] = own + channel * plane;
    }
    task.kernel.convolve(convolution, space.sources.data(), space.from.data(), space.to.data(),
                         target[last].count);
  });
}

}  // namespace

void fill_windows(const RenderShape& shape, const Window& window, Window* windows) {
  windows[0] = window;
  for (std::size_t level = 1; level < shape.levels; ++level) {
    Window& coarser = windows[level] = windows[level - 1];
    for (std::size_t axis = shape.kept; axis < shape.lattice.size(); ++axis) {
      const auto [first, count] = coarser[axis];
      // Outputs 2 i and 2 i + 1 of a stage need its inputs i - 2 .. i + 1 and i - 1 .. i + 2.
      const std::size_t start = (first + 1) / 2, stop = (first + count) / 2 + 2;
      coarser[axis].first = start < 2 ? 0 : start - 2;
      coarser[axis].count = std::min(grid_size(shape, level, axis), stop) - coarser[axis].first;
    }
  }
}

RenderSpace space_for(const RenderTask& task, const Window& tile) {
  const RenderShape& shape = task.shape;
  const std::size_t axes = shape.lattice.size();
  // As large as any tile's, wherever it lies.
  std::vector<Window> largest(shape.levels);
  std::size_t planes[2] = {0, 0}, between = 0;
  for (std::size_t level = 0; level < shape.levels; ++level) {
    for (std::size_t axis = 0; axis < axes; ++axis) {
      std::size_t most = tile[axis].count;
      if (axis >= shape.kept)
        most = level ? largest[level - 1][axis].count / 2 + 4 : most + 2 * shape.residuals;
      largest[level][axis] = {0, std::min(grid_size(shape, level, axis), most)};
    }
    std::size_t& room = planes[level & 1];
    room = std::max(room, (shape.levels - level) * Layout(largest[level], axes).plane);
    if (!level) continue;
    Window either = largest[level];
    for (std::size_t axis = 0; axis < axes; ++axis)
      either[axis].count = std::max(either[axis].count, largest[level - 1][axis].count);
    between = std::max(between, Layout(either, axes).plane);
  }
  std::size_t widest = 0;
  for (const std::size_t width : shape.synthesis) widest = std::max(widest, width);
  const std::size_t values = shape.outputs * Layout(largest[0], axes).plane;
  RenderSpace space{{Buffer(planes[0]), Buffer(planes[1])},
                    {Buffer(between), Buffer(axes > 2 ? between : 0)},
                    {Buffer(values), Buffer(shape.residuals > 1 ? values : 0)},
                    Buffer(2 * widest * RENDER_STRIDE),
                    std::vector<Window>(shape.levels),
                    std::vector<const float*>(shape.levels),
                    {},
                    std::vector<const float*>(shape.outputs),
                    {},
                    std::vector<float*>(shape.outputs),
                    std::vector<float*>(shape.outputs)};
  if (shape.residuals) space.sources.resize(task.convolutions[0].sources);
  for (std::size_t which = 0; which < 2; ++which)
    for (std::size_t unit = 0; unit < widest; ++unit)
      space.hidden[which].push_back(space.units.start() +
                                    (which * widest + unit) * RENDER_STRIDE);
  return space;
}

void render_tile(const RenderTask& task, RenderSpace& space, const Window& tile) {
  const RenderShape& shape = task.shape;
  const std::size_t axes = shape.lattice.size(), last = axes - 1;
  Window window = grown(shape, tile, shape.residuals);
  const float* const features = upsample_all(task, space, window);
  Layout layout(window, axes);
  float* values = space.values[0].start();
  const RenderRooms rooms{space.inputs.data(),
                          {space.hidden[0].data(), space.hidden[1].data()},
                          space.outputs.data()};
  task.kernel.network(task.network, rooms, features, values, layout.plane,
                      layout.rows * layout.pitch);
  std::size_t positions = 1;
  for (std::size_t axis = 0; axis < axes; ++axis) positions *= task.window[axis].count;
  const std::size_t out_pitch = task.window[last].count;
  float* const out = task.out + tile[last].first - task.window[last].first;
  for (std::size_t index = 0; index < shape.residuals; ++index) {
    const Window target = grown(shape, tile, shape.residuals - 1 - index);
    const Convolution& convolution = task.convolutions[index];
    if (index + 1 == shape.residuals) {
      convolve(task, space, convolution, values, window, target, out, out_pitch, positions,
               task.window);
      return;
    }
    const Layout next(target, axes);
    float* const to = space.values[(index + 1) & 1].start();
    convolve(task, space, convolution, values, window, target, to, next.pitch, next.plane, target);
    window = target;
    layout = next;
    values = to;
  }
  for_rows(tile, axes, [&](std::size_t row, const auto& place) {
    for (std::size_t channel = 0; channel < shape.outputs; ++channel)
      std::copy_n(values + channel * layout.plane + row * layout.pitch, tile[last].count,
                  out + channel * positions + row_near(task.window, axes, place) * out_pitch);
  });
}

}  // namespace pyramid
}  // namespace inrcodec
