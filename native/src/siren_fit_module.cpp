// Binds the step of a SIREN's fit to Python: finds its kernel, checks what it is given.

#include "siren_fit_module.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <array>
#include <cmath>
#include <memory>
#include <string>

#include "siren_fit.h"

namespace nb = nanobind;

namespace inrcodec {

namespace {

using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using OutFloats = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// So that no product of two sizes and a depth overflows.
constexpr std::size_t MOST = std::size_t{1} << 20;

void demand(bool held, const std::string& otherwise) {
  if (!held) throw nb::value_error(otherwise.c_str());
}

void demand_size(std::size_t size, std::size_t needed, const std::string& name) {
  demand(size == needed, name + ": " + std::to_string(needed) + " numbers are needed, not " +
                             std::to_string(size));
}

std::unique_ptr<SirenFit> make(const std::string& isa, const std::array<std::size_t, 4>& shape,
                               float omega_0, float centre, std::size_t threads) {
  const auto [inputs, outputs, depth, width] = shape;
  for (const std::size_t size : shape) demand(size <= MOST, "shape: more than 2^20");
  demand(inputs > 0 && outputs > 0, "shape: no inputs or no outputs");
  demand(depth == 0 || width > 0, "shape: layers of no units");
  demand(std::isfinite(omega_0) && std::isfinite(centre),
         "omega_0, centre: finite numbers are needed");
  demand(threads > 0 && threads <= 1024, "threads: 1 to 1024");
  for (const FitKernel* kernel : fit_kernels())
    if (isa == kernel->name)
      return std::make_unique<SirenFit>(*kernel, Siren{inputs, outputs, depth, width, nullptr},
                                        omega_0, centre, threads);
  throw nb::value_error(("isa: " + isa + " is not available").c_str());
}

double step(SirenFit& fit, const Floats& parameters, const Table& coordinates,
            const Table& targets, std::size_t first, const OutFloats& gradient) {
  const Siren& shape = fit.shape();
  const std::size_t count = coordinates.shape(0);
  demand(first <= shape.depth + 1, "first: there are " + std::to_string(shape.depth + 1) +
                                       " layers");
  demand_size(parameters.shape(0), fit.parameter_count(0), "parameters");
  demand_size(gradient.shape(0), fit.parameter_count(first), "gradient");
  demand(count > 0, "coordinates: at least one point is needed");
  demand(coordinates.shape(1) == shape.inputs,
         "coordinates: an array [points, " + std::to_string(shape.inputs) + "] is needed");
  demand(targets.shape(0) == count && targets.shape(1) == shape.outputs,
         "targets: an array [" + std::to_string(count) + ", " + std::to_string(shape.outputs) +
             "] is needed");
  nb::gil_scoped_release unlocked;
  return fit.step(parameters.data(), coordinates.data(), targets.data(), count, first,
                  gradient.data());
}

}  // namespace

void add_siren_fit(nb::module_& module) {
  using namespace nb::literals;
  nb::class_<SirenFit>(module, "SirenFit")
      .def(nb::new_(&make), "isa"_a, "shape"_a, "omega_0"_a, "centre"_a, "threads"_a)
      .def("step", &step, "parameters"_a.noconvert(), "coordinates"_a.noconvert(),
           "targets"_a.noconvert(), "first"_a, "gradient"_a.noconvert());
}

}  // namespace inrcodec
