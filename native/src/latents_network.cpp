// Packs the weights of a context network as the kernels multiply them.

#include <algorithm>
#include <cstdlib>

#include "latents_contexts.h"
#include "latents_volume.h"

namespace inrcodec {

ContextNetwork::ContextNetwork(const std::vector<Offset>& contexts, std::size_t axes,
                               std::size_t kept,
                               const std::vector<std::size_t>& widths, const std::int16_t* weights,
                               std::size_t weight_count, const std::int32_t* biases,
                               std::size_t bias_count)
    : contexts_(contexts), axes_(axes), kept_(kept) {
  demand(axes >= 2 && axes <= OUTER + 2 && kept < axes, "contexts: too many axes");
  constexpr std::size_t MOST = 1 << 12;
  demand(!contexts.empty() && contexts.size() <= MOST, "contexts: none, or too many");
  for (const Offset& offset : contexts)
    if (volume())
      demand_in_volume(offset);
    else if (offset.up)
      demand(coarser(offset) < COARSER_COUNT, "contexts: an unknown place on a coarser level");
    else
      demand(offset.row <= 0 && offset.row >= -static_cast<int>(ABOVE) &&
                 std::abs(offset.column) < static_cast<int>(BACK) && back(offset) > 0 &&
                 back(offset) < static_cast<int>(BACK),
             "contexts: too far away, or not in an earlier wavefront");
  demand(widths.size() <= MOST, "widths: too many layers");
  std::size_t fan_in = contexts.size(), inputs = fan_in;
  const auto layer = [&](std::size_t units, bool biased) {
    demand(weight_count / inputs >= units && bias_count >= (biased ? units : 0),
           "weights, biases: too few");
    const std::size_t pairs = (fan_in + 1) / 2;
    for (std::size_t unit = 0; unit < units + units % 2; ++unit)
      for (std::size_t k = 0; k < pairs; ++k) {
        const auto weight = [&](std::size_t input) {
          const bool there = unit < units && input < inputs;
          return static_cast<std::uint16_t>(there ? weights[unit * inputs + input] : 0);
        };
        words_.push_back(weight(2 * k) | std::uint32_t{weight(2 * k + 1)} << 16);
      }
    weights += units * inputs;
    weight_count -= units * inputs;
    if (!biased) return;
    words_.insert(words_.end(), biases, biases + units);
    if (units % 2) words_.push_back(0);
    biases += units;
    bias_count -= units;
  };
  for (const std::size_t width : widths) {
    demand(width > 0 && width <= MOST, "widths: a layer of no units, or of too many");
    layer(width, true);
    inputs = width;
    fan_in = width + width % 2;
    widths_.push_back(fan_in);
  }
  layer(2, true);
  fan_in = inputs = contexts.size();
  layer(2, false);
  demand(weight_count == 0 && bias_count == 0, "weights, biases: too many");
}

std::size_t ContextNetwork::scratch() const {
  std::size_t widest = 0;
  for (const std::size_t width : widths_) widest = std::max(widest, width);
  return (contexts_.size() + 1) / 2 + widest;
}

}  // namespace inrcodec
