// Joins Python's arrays with the coder of latents: lengths are checked before memory is touched.

#include "latents_module.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "latents_coder.h"

namespace nb = nanobind;

namespace inrcodec {
namespace {

template <typename Number>
using Flat = nb::ndarray<const Number, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
// Views of larger planes, too.
template <typename Number>
using Planes = std::vector<nb::ndarray<Number, nb::device::cpu>>;
using Levels = std::vector<std::size_t>;

const LatentKernel& kernel_of(const std::string& isa) {
  if (const LatentKernel* found = latent_kernel(isa.c_str())) return *found;
  throw nb::value_error(("isa: " + isa + " is not available").c_str());
}

// Those that only give values are never written to: see the functions that take them.
template <typename Number>
std::vector<Plane> planes_of(const Planes<Number>& arrays) {
  std::vector<Plane> planes;
  for (const auto& one : arrays) {
    const std::size_t axes = one.ndim();
    if (axes < 2 || axes > 2 + OUTER) throw nb::type_error("planes: 2 to 4 axes are needed");
    Plane plane{const_cast<std::int32_t*>(one.data()), one.shape(axes - 2), one.shape(axes - 1),
                one.stride(axes - 2), one.stride(axes - 1)};
    for (std::size_t axis = 0; axis + 2 < axes; ++axis) {
      plane.sizes[OUTER + 2 - axes + axis] = one.shape(axis);
      plane.strides[OUTER + 2 - axes + axis] = one.stride(axis);
    }
    planes.push_back(plane);
  }
  return planes;
}

void new_tables(LatentTables* self, const Flat<std::int32_t>& offsets,
                const Flat<std::int32_t>& reaches, const Flat<std::int32_t>& cumulative) {
  if (offsets.shape(0) != LATENT_TABLES || reaches.shape(0) != LATENT_TABLES)
    throw nb::value_error(("tables: " + std::to_string(LATENT_TABLES) + " are needed").c_str());
  new (self)
      LatentTables(offsets.data(), reaches.data(), cumulative.data(), cumulative.shape(0));
}

void new_network(ContextNetwork* self, const std::vector<std::vector<std::int32_t>>& contexts, std::size_t kept,
                 const Levels& widths, const Flat<std::int16_t>& weights,
                 const Flat<std::int32_t>& biases) {
  // Levels up, then a step per axis: two of a picture.
  std::vector<Offset> offsets;
  const std::size_t numbers = contexts.empty() ? 3 : contexts[0].size();
  if (numbers < 3 || numbers > 3 + OUTER) throw nb::value_error("contexts: 2 to 4 axes are needed");
  for (const auto& one : contexts) {
    if (one.size() != numbers) throw nb::value_error("contexts: all need the same axes");
    Offset offset{one[0], one[numbers - 2], one[numbers - 1]};
    for (std::size_t axis = 1; axis + 2 < numbers; ++axis)
      offset.outer[OUTER + 2 - numbers + axis] = one[axis];
    offsets.push_back(offset);
  }
  new (self) ContextNetwork(offsets, numbers - 1, kept, widths, weights.data(), weights.shape(0), biases.data(),
                            biases.shape(0));
}

// A LatentDecoder with what it fills and reads, and what was wrong, if anything.
class Decoder {
 public:
  Decoder(const LatentKernel& kernel, const ContextNetwork& network, const LatentTables& tables,
          const Planes<std::int32_t>& planes, const Levels& levels, const nb::bytes& payload)
      : arrays_(planes), payload_(payload) {
    const auto* bytes = static_cast<const unsigned char*>(payload_.data());
    guarded([&] {
      decoder_ = std::make_unique<LatentDecoder>(kernel, network, tables, planes_of(arrays_),
                                                 levels, bytes, payload_.size());
    });
  }

  nb::object decode(std::size_t before, std::size_t wave) {
    if (damage_.empty()) {
      nb::gil_scoped_release unlocked;
      guarded([&] { decoder_->decode(before, wave); });
    }
    return damage_.empty() ? nb::none() : nb::object(nb::str(damage_.c_str()));
  }

 private:
  template <typename Work>
  void guarded(Work work) {
    try {
      work();
    } catch (const Damaged& error) {
      damage_ = error.what();
    }
  }

  const Planes<std::int32_t> arrays_;
  const nb::bytes payload_;
  std::unique_ptr<LatentDecoder> decoder_;
  std::string damage_;
};

void new_decoder(Decoder* self, const std::string& isa, const ContextNetwork& network,
                 const LatentTables& tables, const Planes<std::int32_t>& planes,
                 const Levels& levels, const nb::bytes& payload) {
  new (self) Decoder(kernel_of(isa), network, tables, planes, levels, payload);
}

nb::bytes encode(const std::string& isa, const ContextNetwork& network, const LatentTables& tables,
                 const Planes<const std::int32_t>& planes, const Levels& levels) {
  const LatentKernel& kernel = kernel_of(isa);
  std::vector<unsigned char> bytes;
  {
    nb::gil_scoped_release unlocked;
    bytes = encode_latents(kernel, network, tables, planes_of(planes), levels);
  }
  return nb::bytes(bytes.data(), bytes.size());
}

std::vector<double> bits(const std::string& isa, const ContextNetwork& network,
                         const LatentTables& tables, const Planes<const std::int32_t>& planes,
                         const Levels& levels) {
  const LatentKernel& kernel = kernel_of(isa);
  nb::gil_scoped_release unlocked;
  return latent_bits(kernel, network, tables, planes_of(planes), levels);
}

}  // namespace

void add_latents(nb::module_& m) {
  using namespace nb::literals;
  nb::class_<LatentTables>(m, "LatentTables")
      .def("__init__", new_tables, "offsets"_a.noconvert(), "reaches"_a.noconvert(),
           "cumulative"_a.noconvert());
  nb::class_<ContextNetwork>(m, "ContextNetwork")
      .def("__init__", new_network, "contexts"_a, "kept"_a, "widths"_a, "weights"_a.noconvert(),
           "biases"_a.noconvert());
  nb::class_<Decoder>(m, "LatentDecoder")
      .def("__init__", new_decoder, "isa"_a, "network"_a, "tables"_a, "planes"_a.noconvert(),
           "levels"_a, "payload"_a, nb::keep_alive<1, 3>(), nb::keep_alive<1, 4>())
      .def("decode", &Decoder::decode, "before"_a, "wave"_a);
  m.def("encode_latents", encode, "isa"_a, "network"_a, "tables"_a, "planes"_a.noconvert(),
        "levels"_a);
  m.def("latent_bits", bits, "isa"_a, "network"_a, "tables"_a, "planes"_a.noconvert(),
        "levels"_a);
}

}  // namespace inrcodec
