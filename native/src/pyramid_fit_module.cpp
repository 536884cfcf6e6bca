// Binds the step of the pyramid's fit to Python: finds its kernel, checks what it is given.

#include "pyramid_fit_module.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernel_choice.h"
#include "pyramid_fit.h"

namespace nb = nanobind;

namespace inrcodec {
namespace pyramid {

#define DECLARE(name)          \
  namespace name {             \
  extern const Kernel kernel;  \
  }
FOR_EACH_BUILT(DECLARE)
#undef DECLARE

}  // namespace pyramid

using namespace pyramid;

namespace {

// Kernels that are built and that this CPU runs.
std::vector<const Kernel*> kernels() {
#define ADDRESS(name) &name::kernel,
  return available<Kernel>({FOR_EACH_BUILT(ADDRESS)});
#undef ADDRESS
}

// Text of what kernels cannot do with the shape, or nothing.
std::string refusal(const Shape& shape) {
  if (shape.lattice.empty() || shape.lattice.size() > MAX_AXES) return "lattice: 1 to 4 axes";
  std::size_t positions = 1;
  for (const std::size_t size : shape.lattice)
    if (!size || __builtin_mul_overflow(positions, size, &positions) ||
        positions > std::size_t{1} << 40)
      return "lattice: sizes of at least 1, and 2^40 positions at most";
  if (shape.kept >= shape.lattice.size()) return "kept: at least one axis has to be halved";
  if (!shape.outputs || shape.outputs > MAX_OUTPUTS) return "outputs: 1 to 4";
  if (!shape.levels || shape.levels > MAX_LEVELS) return "levels: 1 to 10";
  if (shape.residuals > MAX_RESIDUALS) return "residuals: 0 to 2";
  for (const auto* widths : {&shape.contexts, &shape.synthesis}) {
    if (widths->size() + 1 > MAX_LAYERS) return "hidden layers: 3 at most";
    for (const std::size_t width : *widths)
      if (!width || width > MAX_WIDTH) return "hidden layers: widths of 1 to 64";
  }
  if (shape.context_places.size() > MAX_CONTEXTS) return "contexts: 43 at most";
  for (const Context& context : shape.context_places) {
    if (context.up > 3) return "contexts: 3 levels up at most";
    for (std::size_t axis = 0; axis < shape.lattice.size(); ++axis) {
      const std::ptrdiff_t reach = context.up == 0 ? 3 : context.up == 1 ? 1 : 0;
      if (std::abs(context.offset[axis]) > reach) return "contexts: offsets are too large";
    }
    if (!context.up && context.offset[0] > 0) return "contexts: own ones come earlier";
  }
  return {};
}

using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutFloats = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutDoubles = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
// What is called when there is a render; the render; the gradient that the call leaves.
using Outside = std::tuple<nb::callable, OutFloats, Floats>;
using Places = std::vector<std::pair<std::size_t, std::vector<std::ptrdiff_t>>>;

void demand(bool held, const std::string& otherwise) {
  if (!held) throw nb::value_error(otherwise.c_str());
}

template <typename Array>
void demand_size(const Array& array, std::size_t count, const std::string& name) {
  demand(array.shape(0) == count, name + ": " + std::to_string(count) +
                                      " numbers are needed, not " +
                                      std::to_string(array.shape(0)));
}

template <typename Array>
void demand_levels(const PyramidFit& fit, const std::vector<Array>& arrays,
                   const std::string& name) {
  demand(arrays.size() == fit.level_count(), name + ": one array per level is needed");
  for (std::size_t level = 0; level < arrays.size(); ++level)
    demand_size(arrays[level], fit.latent_count(level), name);
}

std::unique_ptr<PyramidFit> make(const std::string& isa, const std::vector<std::size_t>& lattice,
                                 std::size_t kept, std::size_t outputs, std::size_t levels,
                                 const std::vector<std::size_t>& contexts,
                                 const std::vector<std::size_t>& synthesis, std::size_t residuals,
                                 const Places& places, const Floats& target, std::size_t threads) {
  Shape shape{lattice, kept, outputs, levels, residuals, contexts, synthesis, {}};
  for (const auto& [up, offset] : places) {
    demand(offset.size() == lattice.size() && offset.size() <= MAX_AXES,
           "context_places: an offset per axis is needed");
    Context context{up, {}};
    for (std::size_t axis = 0; axis < offset.size(); ++axis) context.offset[axis] = offset[axis];
    shape.context_places.push_back(context);
  }
  const std::string reason = refusal(shape);
  demand(reason.empty(), reason);
  std::size_t values = outputs;
  for (const std::size_t size : lattice) values *= size;
  demand_size(target, values, "target");
  demand(threads > 0 && threads <= 1024, "threads: 1 to 1024");
  for (const Kernel* kernel : kernels()) {
    if (isa != kernel->name) continue;
    nb::gil_scoped_release unlocked;
    return std::make_unique<PyramidFit>(*kernel, shape, target.data(), threads);
  }
  throw nb::value_error(("isa: " + isa + " is not available").c_str());
}

Request request_of(const PyramidFit& fit, const Floats& parameters,
                   const std::vector<Floats>& latents) {
  demand_size(parameters, fit.parameter_count(), "parameters");
  demand_levels(fit, latents, "latents");
  Request request{};
  request.parameters = parameters.data();
  request.temperature = 1.0f;
  for (const Floats& level : latents) request.latents.push_back(level.data());
  return request;
}

std::pair<double, double> descend(PyramidFit& fit, bool soft, const Floats& parameters,
                                  const std::vector<Floats>& latents, float rate,
                                  float temperature, float noise, std::uint32_t seed,
                                  const OutDoubles& gradient,
                                  const std::vector<OutFloats>& latent_gradients,
                                  const std::optional<Outside>& outside) {
  Request request = request_of(fit, parameters, latents);
  demand_size(gradient, fit.parameter_count(), "gradient");
  demand_levels(fit, latent_gradients, "latent_gradients");
  demand(temperature >= 1e-3f && temperature < 1e3f, "temperature: 0.001 to 1000");
  demand(std::isfinite(rate) && std::isfinite(noise), "rate, noise: finite numbers are needed");
  request.mode = soft ? SOFT : STRAIGHT;
  request.rate = rate;
  request.temperature = temperature;
  request.noise = noise;
  request.seed = seed;
  for (const OutFloats& level : latent_gradients) request.slopes.push_back(level.data());
  if (outside) {
    const auto& [_, render, render_slopes] = *outside;
    demand_size(render, fit.position_count() * fit.outputs(), "render");
    demand_size(render_slopes, fit.position_count() * fit.outputs(), "render_slopes");
    request.render = render.data();
    request.render_slopes = render_slopes.data();
    request.distortion = [&] {
      nb::gil_scoped_acquire locked;
      std::get<0>(*outside)();
    };
  }
  nb::gil_scoped_release unlocked;
  const Answer answer = fit.step(request);
  std::copy(answer.parameters.begin(), answer.parameters.end(), gradient.data());
  double bits = 0;
  for (const double level : answer.bits) bits += level;
  return {answer.mse, bits};
}

std::tuple<double, double, std::vector<double>> evaluate(
    PyramidFit& fit, const Floats& parameters, const std::vector<Floats>& latents, float peak,
    const std::optional<OutFloats>& render, const std::optional<std::vector<OutFloats>>& bits) {
  Request request = request_of(fit, parameters, latents);
  request.mode = HARD;
  demand(peak >= 1 && peak < 1 << 24, "peak: 1 to 2^24");
  request.peak = peak;
  if (render) {
    demand_size(*render, fit.position_count() * fit.outputs(), "render");
    request.render = render->data();
  }
  if (bits) {
    demand_levels(fit, *bits, "bits");
    for (const OutFloats& level : *bits) request.bits.push_back(level.data());
  }
  nb::gil_scoped_release unlocked;
  const Answer answer = fit.step(request);
  return {answer.mse, answer.coded_mse, answer.bits};
}

void adam(PyramidFit& fit, const std::vector<OutFloats>& latents,
          const std::vector<Floats>& gradients, const std::vector<OutFloats>& means,
          const std::vector<OutFloats>& squares, double rate,
          const std::pair<double, double>& betas, double epsilon, double damping,
          std::size_t count) {
  demand_levels(fit, latents, "latents");
  demand_levels(fit, gradients, "gradients");
  demand_levels(fit, means, "means");
  demand_levels(fit, squares, "squares");
  demand(count > 0, "count: the first step is 1");
  demand(damping == 0 || damping >= 1, "damping: 0, or from 1 on");
  const double steps = static_cast<double>(count);
  const float rates[] = {static_cast<float>(rate),
                         static_cast<float>(betas.first),
                         static_cast<float>(betas.second),
                         static_cast<float>(epsilon),
                         static_cast<float>(1 / (1 - std::pow(betas.first, steps))),
                         static_cast<float>(1 / (1 - std::pow(betas.second, steps))),
                         damping > 0 ? static_cast<float>(1 / damping) : 0.0f};
  Moments moments;
  for (std::size_t level = 0; level < latents.size(); ++level) {
    moments.latents.push_back(latents[level].data());
    moments.gradients.push_back(gradients[level].data());
    moments.means.push_back(means[level].data());
    moments.squares.push_back(squares[level].data());
  }
  nb::gil_scoped_release unlocked;
  fit.adam(moments, rates);
}

}  // namespace

void add_pyramid_fit(nb::module_& module) {
  using namespace nb::literals;
  nb::class_<PyramidFit>(module, "PyramidFit")
      .def(nb::new_(&make), "isa"_a, "lattice"_a, "kept"_a, "outputs"_a, "levels"_a,
           "contexts"_a, "synthesis"_a, "residuals"_a, "context_places"_a,
           "target"_a.noconvert(), "threads"_a)
      .def("descend", &descend, "soft"_a, "parameters"_a.noconvert(), "latents"_a.noconvert(),
           "rate"_a, "temperature"_a, "noise"_a, "seed"_a, "gradient"_a.noconvert(),
           "latent_gradients"_a.noconvert(), "outside"_a.noconvert().none())
      .def("evaluate", &evaluate, "parameters"_a.noconvert(), "latents"_a.noconvert(), "peak"_a,
           "render"_a.noconvert().none(), "bits"_a.noconvert().none())
      .def("adam", &adam, "latents"_a.noconvert(), "gradients"_a.noconvert(),
           "means"_a.noconvert(), "squares"_a.noconvert(), "rate"_a, "betas"_a, "epsilon"_a,
           "damping"_a, "count"_a);
}

}  // namespace inrcodec
