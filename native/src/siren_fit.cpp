// Cuts the points of a step into parts, hands them to threads, and adds up what they find.

#include "siren_fit.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernel_choice.h"

namespace inrcodec {

#define DECLARE(name)                 \
  namespace name {                    \
  extern const FitKernel fit_kernel;  \
  }
FOR_EACH_BUILT(DECLARE)
#undef DECLARE

std::vector<const FitKernel*> fit_kernels() {
#define ADDRESS(name) &name::fit_kernel,
  return available<FitKernel>({FOR_EACH_BUILT(ADDRESS)});
#undef ADDRESS
}

namespace {

// Each part of the points has sums of its own, added in the order of the parts: which thread did
// which makes no difference. Many parts let threads end together, but their sums take memory.
constexpr std::size_t MOST_PARTS = 32, MOST_SUMS = std::size_t{1} << 22;

// Largest argument of a sine up to which the kernels' polynomials keep their promise.
constexpr float REACH = 1e4f;

constexpr std::size_t CHUNK = 4096;  // sums that a thread adds up at a time
constexpr std::size_t LINE = ALIGNMENT / sizeof(float);

std::size_t parts_of(std::size_t count, std::size_t unit) { return (count + unit - 1) / unit; }
std::size_t whole(std::size_t count) { return parts_of(count, LINE) * LINE; }

// The first aligned place of `floats`, which gets room for `count` from there on.
float* aligned(std::vector<float>& floats, std::size_t count) {
  if (floats.size() < count + LINE) floats.resize(count + LINE);
  const auto address = reinterpret_cast<std::uintptr_t>(floats.data());
  return floats.data() + (ALIGNMENT - address % ALIGNMENT) % ALIGNMENT / sizeof(float);
}

}  // namespace

SirenFit::SirenFit(const FitKernel& kernel, const Siren& shape, float omega_0, float centre,
                   std::size_t threads)
    : kernel_(kernel), shape_(shape), omega_0_(omega_0), centre_(centre), threads_(threads),
      crew_(threads) {}

std::size_t SirenFit::parameter_count(std::size_t first) const {
  std::size_t count = 0;
  const auto add = [&](std::size_t layer, std::size_t times) {
    count += times * units_of(layer) * (inputs_of(layer) + 1);
  };
  // In three parts, because the depth may be any number.
  if (first == 0 && shape_.depth) add(0, 1);
  const std::size_t hidden = std::max<std::size_t>(first, 1);
  if (hidden < shape_.depth) add(1, shape_.depth - hidden);
  if (first <= shape_.depth) add(shape_.depth, 1);
  return count;
}

// Fills `layers_` and `turned_` as FitNet has them.
void SirenFit::unpack(const float* parameters, std::size_t first) {
  layers_.resize(parameter_count(0));
  float* to = layers_.data();
  for (std::size_t layer = 0; layer <= shape_.depth; ++layer) {
    const std::size_t units = units_of(layer), inputs = inputs_of(layer);
    const float factor = layer == shape_.depth ? 1.0f : omega_0_;
    const float centre = layer == shape_.depth ? centre_ : 0.0f;
    float* const biases = to + units * inputs;
    for (std::size_t unit = 0; unit < units; ++unit) {
      for (std::size_t k = 0; k < inputs; ++k) *to++ = *parameters++ * factor;
      biases[unit] = *parameters++ * factor + centre;
    }
    to += units;
  }
  turned_.clear();
  for (std::size_t layer = shape_.depth; layer > first; --layer) {
    const std::size_t units = units_of(layer), inputs = inputs_of(layer);
    to -= units * (inputs + 1);
    for (std::size_t k = 0; k < inputs; ++k)
      for (std::size_t unit = 0; unit < units; ++unit) turned_.push_back(to[unit * inputs + k]);
    turned_.insert(turned_.end(), inputs, 0.0f);
  }
}

// Whether a sine could be asked for an argument beyond REACH.
bool SirenFit::wild(const float* coordinates, std::size_t count) const {
  float reach = 0;
  for (std::size_t at = 0; at < count * shape_.inputs; ++at) {
    const float size = std::fabs(coordinates[at]);
    if (!(size <= reach)) reach = size;
  }
  const float* weight = layers_.data();
  for (std::size_t layer = 0; layer < shape_.depth; ++layer) {
    const std::size_t units = units_of(layer), inputs = inputs_of(layer);
    const float* const biases = weight + units * inputs;
    for (std::size_t unit = 0; unit < units; ++unit) {
      float sum = 0;
      for (std::size_t k = 0; k < inputs; ++k) sum += std::fabs(*weight++);
      if (!(sum * reach + std::fabs(biases[unit]) <= REACH)) return true;
    }
    weight += units;
    reach = 1;
  }
  return false;
}

double SirenFit::step(const float* parameters, const float* coordinates, const float* targets,
                      std::size_t count, std::size_t first, float* gradient) {
  const std::lock_guard<std::mutex> alone(mutex_);
  unpack(parameters, first);
  Siren siren = shape_;
  siren.layers = layers_.data();
  const FitNet net{siren, turned_.data(), first, wild(coordinates, count)};

  const std::size_t sum_count = kernel_.sum_count(net);
  std::size_t most = std::min(MOST_PARTS, MOST_SUMS / std::max<std::size_t>(1, sum_count));
  most = std::max(most, threads_);
  const std::size_t blocks = parts_of(count, BLOCK);
  const std::size_t length = std::max(GROUP, parts_of(blocks, most));
  const std::size_t parts = parts_of(blocks, length);
  const std::size_t own_sums = whole(sum_count);
  float* const sums = aligned(sums_, parts * own_sums);
  std::fill_n(sums, parts * own_sums, 0.0f);

  const std::size_t own_room = whole(kernel_.room(net));
  // Of many threads, any may take one of few parts.
  const bool few = parts < threads_;
  float* const rooms = aligned(rooms_, (few ? parts : threads_) * own_room);
  std::vector<double> errors(parts);
  const float slope = 2.0f / (static_cast<float>(count) * static_cast<float>(siren.outputs));
  crew_.share(parts, [&](std::size_t part, std::size_t thread) {
    const std::size_t from = part * length * BLOCK;
    const FitPoints points{coordinates + from * siren.inputs, targets + from * siren.outputs,
                           std::min(count - from, length * BLOCK), slope};
    errors[part] = kernel_.descend(net, points, rooms + (few ? part : thread) * own_room,
                                   sums + part * own_sums);
  });

  totals_.assign(sum_count, 0.0);
  crew_.share(parts_of(sum_count, CHUNK), [&](std::size_t chunk, std::size_t) {
    const std::size_t end = std::min(sum_count, (chunk + 1) * CHUNK);
    for (std::size_t part = 0; part < parts; ++part)
      for (std::size_t at = chunk * CHUNK; at < end; ++at)
        totals_[at] += static_cast<double>(sums[part * own_sums + at]);
  });
  kernel_.arrange(net, totals_.data(), gradient + parameter_count(first));
  // The weights of all layers but the last one had omega_0 multiplied in.
  const std::size_t last = parameter_count(std::max(first, siren.depth));
  for (std::size_t at = 0; at < parameter_count(first) - last; ++at) gradient[at] *= omega_0_;
  double total = 0;
  for (const double error : errors) total += error;
  return total / (static_cast<double>(count) * static_cast<double>(siren.outputs));
}

}  // namespace inrcodec
