// Gives all parameters of a fit their places in one array, in the order of the bitstream.

#include "pyramid_fit.h"

namespace inrcodec {
namespace pyramid {

namespace {

// Gives a network's arrays their places, in the order of the bitstream; returns where they end.
std::size_t lay_out(Network& net, std::size_t inputs, const std::vector<std::size_t>& widths,
                    std::size_t outputs, std::size_t at) {
  net.layers = widths.size() + 1;
  net.sizes[0] = inputs;
  for (std::size_t layer = 0; layer < net.layers; ++layer) {
    const std::size_t units = net.sizes[layer + 1] =
        layer < widths.size() ? widths[layer] : outputs;
    net.weight[layer] = at;
    at += units * net.sizes[layer];
    net.bias[layer] = at;
    at += units;
  }
  net.skip = at;
  return at + outputs * inputs;
}

}  // namespace

void PyramidFit::lay_out_parameters(const Shape& shape) {
  std::size_t at = lay_out(fit_.context_network, fit_.context_count, shape.contexts, 2, 0);
  context_count_ = fit_.upsampling = at;
  at += TAPS * (fit_.level_count - 1);
  synthesis_first_ = at;
  at = lay_out(fit_.synthesis, fit_.level_count, shape.synthesis, fit_.outputs, at);
  synthesis_count_ = at - synthesis_first_;
  residual_first_ = at;
  for (std::size_t index = 0; index < fit_.residuals; ++index) {
    fit_.residual_weight[index] = at;
    at += fit_.outputs * fit_.outputs * fit_.lead_taps * 3;
    fit_.residual_bias[index] = at;
    at += fit_.outputs;
  }
  residual_count_ = at - residual_first_;
  fit_.parameter_count = at;
}

}  // namespace pyramid
}  // namespace inrcodec
