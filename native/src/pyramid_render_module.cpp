// Binds the render of a pyramid to Python: finds its kernel, checks what it is given.

#include "pyramid_render_module.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>
#include <vector>

#include "pyramid_render.h"

namespace nb = nanobind;

namespace inrcodec {

using namespace pyramid;

namespace {

// So that no product of sizes overflows.
constexpr std::size_t MOST_AXIS = std::size_t{1} << 31, MOST_UNITS = std::size_t{1} << 16,
                      MOST_LAYERS = 64, MOST_VALUES = std::size_t{1} << 40;

using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Latents = nb::ndarray<const std::int32_t, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

void demand(bool held, const std::string& otherwise) {
  if (!held) throw nb::value_error(otherwise.c_str());
}

const RenderKernel& kernel_of(const std::string& isa) {
  for (const RenderKernel* kernel : render_kernels())
    if (isa == kernel->name) return *kernel;
  throw nb::value_error(("isa: " + isa + " is not available").c_str());
}

void check(const RenderShape& shape) {
  demand(!shape.lattice.empty() && shape.lattice.size() <= MAX_AXES, "lattice: 1 to 4 axes");
  for (const std::size_t size : shape.lattice)
    demand(size > 0 && size <= MOST_AXIS, "lattice: sizes of 1 to 2^31");
  demand(shape.kept < shape.lattice.size(), "kept: at least one axis has to be halved");
  demand(shape.outputs > 0 && shape.outputs <= MOST_UNITS, "outputs: 1 to 2^16");
  demand(shape.levels > 0 && shape.levels <= 32, "levels: 1 to 32");
  demand(shape.residuals <= MOST_LAYERS, "residuals: 64 at most");
  demand(shape.synthesis.size() <= MOST_LAYERS, "synthesis: 64 layers at most");
  for (const std::size_t units : shape.synthesis)
    demand(units > 0 && units <= MOST_UNITS, "synthesis: layers of 1 to 2^16 units");
}

// `before` is what the array's first axis has to be, if not 0.
template <typename Array>
void demand_shape(const Array& array, std::size_t before, const Window& window, std::size_t axes,
                  const std::string& name) {
  const std::size_t skipped = before > 0;
  bool held = array.ndim() == axes + skipped && (!before || array.shape(0) == before);
  std::string needed = before ? std::to_string(before) : "";
  for (std::size_t axis = 0; axis < axes; ++axis) {
    held = held && array.shape(axis + skipped) == window[axis].count;
    needed += (needed.empty() ? "" : ", ") + std::to_string(window[axis].count);
  }
  demand(held, name + ": an array [" + needed + "] is needed");
}

void pyramid_values(const std::string& isa, const std::vector<std::size_t>& lattice,
                    std::size_t kept, std::size_t outputs,
                    const std::vector<std::size_t>& synthesis, std::size_t residuals,
                    const Floats& parameters,
                    const std::vector<Latents>& latents,
                    const std::vector<std::pair<std::size_t, std::size_t>>& ends, const Out& out,
                    std::size_t threads) {
  const RenderKernel& kernel = kernel_of(isa);
  const RenderShape shape{lattice, kept, outputs, latents.size(), residuals, synthesis};
  check(shape);
  const std::size_t axes = lattice.size(), needed = parameter_count(shape);
  demand(parameters.shape(0) == needed, "parameters: " + std::to_string(needed) +
                                            " numbers are needed, not " +
                                            std::to_string(parameters.shape(0)));
  demand(ends.size() == axes, "window: a pair per axis is needed");
  Window window{};
  std::size_t values = outputs;
  for (std::size_t axis = 0; axis < axes; ++axis) {
    const auto [start, stop] = ends[axis];
    demand(start < stop && stop <= lattice[axis], "window: it must hold samples of the lattice");
    window[axis] = {start, stop - start};
    demand(!__builtin_mul_overflow(values, stop - start, &values) && values <= MOST_VALUES,
           "window: more than 2^40 values");
  }
  demand_shape(out, outputs, window, axes, "out");
  const std::vector<Window> windows = latent_windows(shape, grown(shape, window, residuals));
  std::vector<const std::int32_t*> planes;
  for (std::size_t level = 0; level < latents.size(); ++level) {
    demand_shape(latents[level], 0, windows[level], axes, "latents " + std::to_string(level));
    planes.push_back(latents[level].data());
  }
  demand(threads > 0 && threads <= 1024, "threads: 1 to 1024");
  nb::gil_scoped_release unlocked;
  render(kernel, shape, parameters.data(), window, planes, out.data(), threads);
}

}  // namespace

void add_pyramid_render(nb::module_& module) {
  using namespace nb::literals;
  module.def("pyramid_values", pyramid_values, "isa"_a, "lattice"_a, "kept"_a, "outputs"_a,
             "synthesis"_a, "residuals"_a, "parameters"_a.noconvert(),
             "latents"_a.noconvert(), "window"_a, "out"_a.noconvert(), "threads"_a);
}

}  // namespace inrcodec
