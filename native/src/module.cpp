// Joins Python's arrays with the kernels: every length is checked here, before memory is touched.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "latents_module.h"
#include "pyramid_fit_module.h"
#include "pyramid_render_module.h"
#include "query.h"
#include "siren_fit_module.h"

namespace nb = nanobind;
using namespace inrcodec;

namespace {

using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using OutFloats = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// inputs, outputs, depth, width
using Shape = std::array<std::size_t, 4>;

// So that no product of two sizes and a depth overflows.
constexpr std::size_t MOST = std::size_t{1} << 20;

void demand(bool held, const std::string& otherwise) {
  if (!held) throw nb::value_error(otherwise.c_str());
}

const Kernel& kernel_of(const std::string& isa) {
  for (const Kernel* kernel : kernels())
    if (isa == kernel->name) return *kernel;
  throw nb::value_error(("isa: " + isa + " is not available").c_str());
}

Siren siren_of(const Shape& shape, const Floats& layers) {
  const auto [inputs, outputs, depth, width] = shape;
  for (const std::size_t size : shape) demand(size <= MOST, "shape: more than 2^20");
  demand(inputs > 0 && outputs > 0, "shape: no inputs or no outputs");
  demand(depth == 0 || width > 0, "shape: layers of no units");
  const std::size_t hidden = depth ? (inputs + 1) * width + (depth - 1) * (width + 1) * width : 0;
  const std::size_t needed = hidden + ((depth ? width : inputs) + 1) * outputs;
  demand(layers.shape(0) == needed, "layers: " + std::to_string(needed) + " numbers are needed, not " +
                                        std::to_string(layers.shape(0)));
  return {inputs, outputs, depth, width, layers.data()};
}

template <typename Source>
void run(const std::string& isa, const Siren& siren, const Source& source, const Out& out,
         std::size_t threads) {
  demand(out.shape(0) == source.count && out.shape(1) == siren.outputs,
         "out: an array [" + std::to_string(source.count) + ", " + std::to_string(siren.outputs) +
             "] is needed");
  demand(threads > 0, "threads: at least 1 is needed");
  const Kernel& kernel = kernel_of(isa);
  nb::gil_scoped_release unlocked;
  query(kernel, siren, source, out.data(), threads);
}

void siren_points(const std::string& isa, const Shape& shape,
                  const Floats& layers, const Table& coordinates, const Out& out,
                  std::size_t threads) {
  const Siren siren = siren_of(shape, layers);
  demand(coordinates.shape(1) == siren.inputs,
         "coordinates: an array [points, " + std::to_string(siren.inputs) + "] is needed");
  run(isa, siren, Points{coordinates.data(), coordinates.shape(0)}, out, threads);
}

void siren_lattice(const std::string& isa, const Shape& shape, const Floats& layers,
                   const std::vector<Floats>& axes, std::size_t first, const Out& out,
                   std::size_t threads) {
  const Siren siren = siren_of(shape, layers);
  demand(axes.size() == siren.inputs,
         "axes: " + std::to_string(siren.inputs) + " arrays are needed");
  Lattice lattice{{}, {}, first, out.shape(0)};
  std::size_t positions = 1;
  for (const Floats& axis : axes) {
    lattice.axes.push_back(axis.data());
    lattice.sizes.push_back(axis.shape(0));
    demand(!__builtin_mul_overflow(positions, axis.shape(0), &positions), "axes: too many positions");
  }
  demand(first <= positions && lattice.count <= positions - first,
         "first: the lattice ends at " + std::to_string(positions));
  run(isa, siren, lattice, out, threads);
}

void sine(const std::string& isa, const OutFloats& values) {
  demand(values.shape(0) % BLOCK == 0 &&
             reinterpret_cast<std::uintptr_t>(values.data()) % ALIGNMENT == 0,
         "values: whole blocks of 64, aligned to 64 bytes, are needed");
  kernel_of(isa).sine(values.data(), values.shape(0));
}

}  // namespace

NB_MODULE(_native, m) {
  using namespace nb::literals;
  m.attr("VERSION") = INRCODEC_VERSION;
  m.def("available", [] {
    std::vector<std::string> names;
    for (const Kernel* kernel : kernels()) names.emplace_back(kernel->name);
    return names;
  });
  m.def("siren_points", siren_points, "isa"_a, "shape"_a, "layers"_a.noconvert(),
        "coordinates"_a.noconvert(), "out"_a.noconvert(), "threads"_a);
  m.def("siren_lattice", siren_lattice, "isa"_a, "shape"_a, "layers"_a.noconvert(),
        "axes"_a.noconvert(), "first"_a, "out"_a.noconvert(), "threads"_a);
  m.def("sine", sine, "isa"_a, "values"_a.noconvert());
  add_latents(m);
  add_pyramid_fit(m);
  add_pyramid_render(m);
  add_siren_fit(m);
}
