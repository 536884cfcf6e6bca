// Residual convolutions, the loss, and both backward; compiled once per instruction set.

#include "pyramid_fit_convolution.h"
#include "pyramid_fit_isa.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

// The loss of a vector of a row, and its gradient. The clamp is straight-through.
struct Loss {
  Vector squares = {}, coded_squares = {};

  void add(const Fit& fit, size_t row, size_t channel, size_t column, Vector value) {
    const Grid& grid = fit.levels[0].grid;
    const size_t left = grid.width - column, place = row * grid.width + column;
    value = smaller(larger(value, all(fit.lowest)), all(fit.highest));
    const Vector target = load(fit.target[channel] + place);
    const Vector error = first_of(value - target, left);
    squares += error * error;
    if (fit.render)
      for (size_t lane = 0; lane < least(left, LANES); ++lane)
        fit.render[(place + lane) * fit.outputs + channel] = value[lane];
    if (fit.mode != HARD) {
      const float factor = 2.0f / static_cast<float>(fit.outputs * grid.count);
      float* const to = fit.gradients[0].channels[channel] + row * (grid.width + 2) + column;
      return store_first(to, error * factor, left);
    }
    const Vector code = __builtin_convertvector(
        __builtin_convertvector(value * fit.peak + 0.5f, Ints), Vector);
    const Vector coded = first_of(code / fit.peak - target, left);
    coded_squares += coded * coded;
  }

  void end(Scratch& scratch) const {
    scratch.squares += sum(squares);
    scratch.coded_squares += sum(coded_squares);
  }
};

template <size_t C>
void residual_rows(const Fit& fit, Scratch& scratch, size_t index, size_t first, size_t rows) {
  const Grid& grid = fit.levels[0].grid;
  const size_t stride = grid.width + 2, near_count = fit.lead_taps;
  const bool last = index + 1 == fit.residuals;
  for (size_t row = first; row < first + rows; ++row) {
    Near near;
    const float* from[C * MOST_NEAR];
    near_rows(grid, row, false, near);
    point_at<C>(fit.values[index], near, near_count, stride, from);
    const auto value = [&](size_t channel, size_t column, Vector sum) {
      return sum + load(fit.values[index].channels[channel] + row * stride + column);
    };
    const float* const weight = fit.parameters + fit.residual_weight[index];
    const float* const bias = fit.parameters + fit.residual_bias[index];
    if (last) {
      Loss loss;
      convolve<C>(from, C * near_count, weight, bias, grid.width,
                  [&](size_t channel, size_t column, Vector sum) {
                    loss.add(fit, row, channel, column, value(channel, column, sum));
                  });
      loss.end(scratch);
      continue;
    }
    const Image& out = fit.values[index + 1];
    convolve<C>(from, C * near_count, weight, bias, grid.width,
                [&](size_t channel, size_t column, Vector sum) {
                  store_first(out.channels[channel] + row * stride + column,
                              value(channel, column, larger(sum, Vector{})), grid.width - column);
                });
    for (size_t channel = 0; channel < C; ++channel) {
      float* const to = out.channels[channel] + row * stride;
      to[-1] = to[0];
      to[grid.width] = to[grid.width - 1];
    }
  }
}

// The gradient of the weights of one row.
template <size_t C>
void weight_sums(const Fit& fit, Scratch& scratch, size_t index, size_t row,
                 const Image& gradient) {
  const Grid& grid = fit.levels[0].grid;
  const size_t stride = grid.width + 2, near_count = fit.lead_taps;
  Near near;
  const float* from[C * MOST_NEAR];
  near_rows(grid, row, false, near);
  point_at<C>(fit.values[index], near, near_count, stride, from);
  float* const weight = scratch.lanes + fit.residual_weight[index] * LANES;
  const float* given[C];
  for (size_t channel = 0; channel < C; ++channel)
    given[channel] = gradient.channels[channel] + row * stride;
  size_t source = 0;
  for (; source + GROUP <= C * near_count; source += GROUP)
    weight_tile<C, GROUP>(given, from, source, C * near_count, grid.width, weight);
  for (; source < C * near_count; ++source)
    weight_tile<C, 1>(given, from, source, C * near_count, grid.width, weight);
  for (size_t channel = 0; channel < C; ++channel) {
    float* const to = scratch.lanes + (fit.residual_bias[index] + channel) * LANES;
    Vector total = load(to);
    for (size_t column = 0; column < grid.width; column += LANES)
      total += first_of(load(given[channel] + column), grid.width - column);
    store(to, total);
  }
}

template <size_t C>
void residual_back_rows(const Fit& fit, Scratch& scratch, size_t index, size_t first, size_t rows) {
  const Grid& grid = fit.levels[0].grid;
  const size_t stride = grid.width + 2, near_count = fit.lead_taps;
  const bool last = index + 1 == fit.residuals;
  // The gradient of the output of the convolution, and of the sum that its ReLU's output joins.
  const size_t turn = (fit.residuals - 1 - index) & 1;
  const Image& through = last ? fit.gradients[0] : fit.masked;
  const Image &after = fit.gradients[turn], &before = fit.gradients[1 - turn];
  for (size_t row = first; row < first + rows; ++row) {
    weight_sums<C>(fit, scratch, index, row, through);
    Near near;
    const float* from[C * MOST_NEAR];
    float weight[C * C * MOST_NEAR * 3];
    near_rows(grid, row, true, near);
    point_at<C>(through, near, near_count, stride, from);
    transposed<C>(fit.parameters + fit.residual_weight[index], near, near_count, weight);
    convolve<C>(from, C * near_count, weight, nullptr, grid.width,
                [&](size_t channel, size_t column, Vector sum) {
                  const size_t place = row * stride + column;
                  store_first(before.channels[channel] + place,
                              sum + load(after.channels[channel] + place), grid.width - column);
                });
    for (size_t channel = 0; channel < C; ++channel) {
      // What the samples outside got belongs to those that they repeat.
      float* const to = before.channels[channel] + row * stride;
      for (size_t source = 0; source < C * near_count; ++source) {
        const float* const factors = weight + (channel * C * near_count + source) * 3;
        to[0] += factors[2] * from[source][0];
        to[grid.width - 1] += factors[0] * from[source][grid.width - 1];
      }
      if (!index) continue;
      const size_t start = row * stride;
      const float* const out = fit.values[index].channels[channel] + start;
      const float* const in = fit.values[index - 1].channels[channel] + start;
      float* const mask = fit.masked.channels[channel] + start;
      for (size_t column = 0; column < grid.width; column += LANES)
        store_first(mask + column,
                    load(out + column) > load(in + column) ? load(to + column) : Vector{},
                    grid.width - column);
    }
  }
}

}  // namespace

void loss(const Fit& fit, Scratch& scratch, size_t first, size_t rows) {
  const Grid& grid = fit.levels[0].grid;
  for (size_t row = first; row < first + rows; ++row) {
    Loss loss;
    for (size_t channel = 0; channel < fit.outputs; ++channel)
      for (size_t column = 0; column < grid.width; column += LANES)
        loss.add(fit, row, channel, column,
                 load(fit.values[0].channels[channel] + row * (grid.width + 2) + column));
    loss.end(scratch);
  }
}

void residual(const Fit& fit, Scratch& scratch, size_t index, size_t first, size_t rows) {
  switch (fit.outputs) {
    case 1: return residual_rows<1>(fit, scratch, index, first, rows);
    case 2: return residual_rows<2>(fit, scratch, index, first, rows);
    case 3: return residual_rows<3>(fit, scratch, index, first, rows);
    default: return residual_rows<4>(fit, scratch, index, first, rows);
  }
}

void residual_back(const Fit& fit, Scratch& scratch, size_t index, size_t first, size_t rows) {
  switch (fit.outputs) {
    case 1: return residual_back_rows<1>(fit, scratch, index, first, rows);
    case 2: return residual_back_rows<2>(fit, scratch, index, first, rows);
    case 3: return residual_back_rows<3>(fit, scratch, index, first, rows);
    default: return residual_back_rows<4>(fit, scratch, index, first, rows);
  }
}

}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
