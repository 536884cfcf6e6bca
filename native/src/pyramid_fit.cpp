// Cuts a step into tasks that do not disturb each other, and hands them to threads.

#include "pyramid_fit.h"

#include <algorithm>

namespace inrcodec {
namespace pyramid {

namespace {

// Positions of a task: enough that handing it out costs nothing.
constexpr std::size_t SHARE = 8192;

// The contexts of a band of latents reach 3 places beyond it at most, and one on the next coarser
// level; on those above none, as long as bands start at multiples of BAND. So two bands with one
// between them write to different places. Along an axis that is kept, shorter bands do.
constexpr std::size_t BAND = 8, LEAST_BAND = 2;

// Beyond it values are clamped even where the target is not within 0..1: squares stay finite.
constexpr float MOST_VALUE = 1e15f;

Grid grid_of(const std::vector<std::size_t>& lattice, std::size_t kept, std::size_t level) {
  Grid grid{};
  grid.axes = lattice.size();
  grid.kept = kept;
  grid.rows = 1;
  for (std::size_t axis = 0; axis < grid.axes; ++axis) {
    grid.sizes[axis] = axis < kept ? lattice[axis] : ((lattice[axis] - 1) >> level) + 1;
    if (axis + 1 < grid.axes) grid.rows *= grid.sizes[axis];
  }
  grid.width = grid.sizes[grid.axes - 1];
  grid.count = grid.rows * grid.width;
  return grid;
}

}  // namespace

Plane::Plane(std::size_t count) : floats_(count + 2 * SLACK + MAX_LANES) {
  const auto address = reinterpret_cast<std::uintptr_t>(floats_.data() + SLACK);
  start_ = floats_.data() + SLACK + (64 - address % 64) % 64 / sizeof(float);
}

PyramidFit::PyramidFit(const Kernel& kernel, const Shape& shape, const float* target,
                       std::size_t threads)
    : kernel_(kernel), crew_(threads) {
  fit_.outputs = shape.outputs;
  fit_.level_count = shape.levels;
  fit_.residuals = shape.residuals;
  fit_.lead_taps = 1;
  for (std::size_t axis = shape.kept + 1; axis < shape.lattice.size(); ++axis)
    fit_.lead_taps *= 3;
  fit_.context_count = shape.context_places.size();
  std::copy(shape.context_places.begin(), shape.context_places.end(), fit_.contexts);
  lay_out_parameters(shape);

  for (std::size_t index = 0; index < fit_.level_count; ++index) {
    Level& level = fit_.levels[index];
    level.grid = grid_of(shape.lattice, shape.kept, index);
    level.values = plane(level.grid.count);
    level.gradient = plane(level.grid.count);
    level.as_context = plane(level.grid.count);
    for (std::size_t stage = index; stage-- > 0;)
      level.upsampled[stage] = plane(fit_.levels[stage].grid.count);
  }
  for (std::size_t index = 0; index < std::max<std::size_t>(1, fit_.residuals); ++index)
    fit_.values[index] = image();
  fit_.gradients[0] = image();
  if (fit_.residuals > 0) fit_.gradients[1] = image();
  if (fit_.residuals > 1) fit_.masked = image();
  const Grid& grid = fit_.levels[0].grid;
  for (std::size_t channel = 0; channel < fit_.outputs; ++channel) {
    float* const to = plane(grid.count);
    for (std::size_t at = 0; at < grid.count; ++at) to[at] = target[at * fit_.outputs + channel];
    fit_.target[channel] = to;
  }
  const auto ends = std::minmax_element(target, target + grid.count * fit_.outputs);
  const bool bounded = *ends.first >= 0 && *ends.second <= 1;
  fit_.lowest = bounded ? 0.0f : -MOST_VALUE;
  fit_.highest = bounded ? 1.0f : MOST_VALUE;

  sums_.assign(threads, std::vector<double>(fit_.parameter_count));
  for (std::size_t thread = 0; thread < threads; ++thread) {
    Scratch scratch{};
    scratch.blocks = plane(SCRATCH_UNITS * STRIDE);
    scratch.row = (grid.width + 2 * MARGIN + MAX_LANES) / MAX_LANES * MAX_LANES + MAX_LANES;
    scratch.rows = plane(SCRATCH_ROWS * scratch.row);
    scratch.lanes = plane(fit_.parameter_count * MAX_LANES);
    scratch.sums = sums_[thread].data();
    scratch_.push_back(scratch);
  }
  plan();
}

float* PyramidFit::plane(std::size_t count) {
  planes_.emplace_back(count);
  return planes_.back().start();
}

Image PyramidFit::image() {
  const Grid& grid = fit_.levels[0].grid;
  Image image{};
  for (std::size_t channel = 0; channel < fit_.outputs; ++channel)
    image.channels[channel] = plane(grid.rows * (grid.width + 2)) + 1;
  return image;
}

// Where the first axis is halved BAND; else what the contexts there reach back, which is also more
// than two bands with one between them need on the next coarser level.
std::size_t PyramidFit::band() const {
  if (!fit_.levels[0].grid.kept) return BAND;
  std::ptrdiff_t reach = LEAST_BAND;
  for (std::size_t index = 0; index < fit_.context_count; ++index)
    reach = std::max(reach, -fit_.contexts[index].offset[0]);
  return static_cast<std::size_t>(reach);
}

void PyramidFit::plan() {
  const auto split = [](Pieces& pieces, std::size_t level, std::size_t count, std::size_t share) {
    share = std::max<std::size_t>(1, share);
    for (std::size_t first = 0; first < count; first += share)
      pieces.push_back({level, first, std::min(share, count - first)});
  };
  const Grid& grid = fit_.levels[0].grid;
  split(blocks_, 0, grid.count, SHARE);
  split(rows_, 0, grid.rows, SHARE / grid.width);
  const std::size_t least = band();
  outputs_.resize(fit_.level_count);
  inputs_.resize(fit_.level_count);
  for (std::size_t level = 0; level < fit_.level_count; ++level) {
    const Grid& own = fit_.levels[level].grid;
    split(latents_, level, own.count, 2 * SHARE);
    for (std::size_t stage = 0; stage < level; ++stage) {
      const Grid &out = fit_.levels[stage].grid, &in = fit_.levels[stage + 1].grid;
      split(outputs_[stage], level, out.rows, 2 * SHARE / out.width);
      split(inputs_[stage], level, in.rows, SHARE / in.width);
    }
    const std::size_t slice = own.count / own.sizes[0];
    const std::size_t length = std::max<std::size_t>(1, SHARE / slice / least) * least;
    Pieces bands;
    split(bands, level, own.count, length * slice);
    even_bands_.emplace_back();
    odd_bands_.emplace_back();
    for (std::size_t band = 0; band < bands.size(); ++band)
      (band & 1 ? odd_bands_ : even_bands_).back().push_back(bands[band]);
  }
}

void PyramidFit::each(const Pieces& pieces,
                      const std::function<void(const Piece&, Scratch&)>& work) {
  crew_.share(pieces.size(), [&](std::size_t task, std::size_t thread) {
    work(pieces[task], scratch_[thread]);
  });
}

// After every task, so that sums of single precision stay short.
void PyramidFit::flush(Scratch& scratch, std::size_t first, std::size_t count) {
  if (fit_.mode != HARD) kernel_.flush(fit_, scratch, first, count);
}

void PyramidFit::distort() {
  for (std::size_t stage = fit_.level_count - 1; stage-- > 0;)
    each(outputs_[stage], [&](const Piece& piece, Scratch& scratch) {
      kernel_.upsample(fit_, scratch, piece.level, stage, piece.first, piece.count);
    });
  each(blocks_, [&](const Piece& piece, Scratch& scratch) {
    kernel_.synthesise(fit_, scratch, piece.first, piece.count);
  });
  for (std::size_t index = 0; index < fit_.residuals; ++index)
    each(rows_, [&](const Piece& piece, Scratch& scratch) {
      kernel_.residual(fit_, scratch, index, piece.first, piece.count);
    });
  if (!fit_.residuals)
    each(rows_, [&](const Piece& piece, Scratch& scratch) {
      kernel_.loss(fit_, scratch, piece.first, piece.count);
    });
}

void PyramidFit::replace_slopes(const float* render_slopes) {
  const std::size_t width = fit_.levels[0].grid.width;
  each(rows_, [&](const Piece& piece, Scratch&) {
    for (std::size_t at = piece.first * width; at < (piece.first + piece.count) * width; ++at)
      for (std::size_t channel = 0; channel < fit_.outputs; ++channel)
        fit_.gradients[0].channels[channel][at + at / width * 2] =
            render_slopes[at * fit_.outputs + channel];
  });
}

void PyramidFit::distort_back() {
  for (std::size_t index = fit_.residuals; index-- > 0;)
    each(rows_, [&](const Piece& piece, Scratch& scratch) {
      kernel_.residual_back(fit_, scratch, index, piece.first, piece.count);
      flush(scratch, residual_first_, residual_count_);
    });
  each(blocks_, [&](const Piece& piece, Scratch& scratch) {
    kernel_.synthesise_back(fit_, scratch, piece.first, piece.count);
    flush(scratch, synthesis_first_, synthesis_count_);
  });
  for (std::size_t stage = 0; stage + 1 < fit_.level_count; ++stage) {
    each(outputs_[stage], [&](const Piece& piece, Scratch& scratch) {
      kernel_.upsample_back_last(fit_, scratch, piece.level, stage, piece.first, piece.count);
    });
    each(inputs_[stage], [&](const Piece& piece, Scratch&) {
      kernel_.upsample_back_lead(fit_, piece.level, stage, piece.first, piece.count);
    });
  }
}

void PyramidFit::code(std::vector<double>& bits) {
  if (fit_.mode != HARD)
    each(latents_, [&](const Piece& piece, Scratch&) {
      std::fill_n(fit_.levels[piece.level].as_context + piece.first, piece.count, 0.0f);
    });
  double before = 0;
  for (std::size_t level = 0; level < fit_.level_count; ++level) {
    for (const auto* bands : {&even_bands_[level], &odd_bands_[level]})
      each(*bands, [&](const Piece& piece, Scratch& scratch) {
        kernel_.rate(fit_, scratch, piece.level, piece.first, piece.count);
        flush(scratch, 0, context_count_);
      });
    double total = 0;
    for (const Scratch& scratch : scratch_) total += scratch.bits;
    bits.push_back(total - before);
    before = total;
  }
}

Answer PyramidFit::step(const Request& request) {
  const double positions = static_cast<double>(fit_.levels[0].grid.count);
  fit_.mode = request.mode;
  fit_.parameters = request.parameters;
  fit_.rate = static_cast<float>(request.rate / positions);
  fit_.temperature = request.temperature;
  fit_.noise = request.noise;
  fit_.seed = request.seed;
  fit_.peak = request.peak;
  fit_.render = request.render;
  for (std::size_t level = 0; level < fit_.level_count; ++level) {
    fit_.levels[level].latents = request.latents[level];
    fit_.levels[level].slopes = request.slopes.empty() ? nullptr : request.slopes[level];
    fit_.levels[level].bits = request.bits.empty() ? nullptr : request.bits[level];
  }
  for (Scratch& scratch : scratch_) {
    scratch.bits = scratch.squares = scratch.coded_squares = 0;
    std::fill_n(scratch.sums, fit_.parameter_count, 0.0);
  }

  Answer answer{};
  each(latents_, [&](const Piece& piece, Scratch&) {
    kernel_.round(fit_, piece.level, piece.first, piece.count);
  });
  distort();
  if (request.distortion) {
    request.distortion();
    replace_slopes(request.render_slopes);
  }
  if (fit_.mode != HARD) distort_back();
  code(answer.bits);
  for (const Scratch& scratch : scratch_) {
    answer.mse += scratch.squares / (positions * static_cast<double>(fit_.outputs));
    answer.coded_mse += scratch.coded_squares / (positions * static_cast<double>(fit_.outputs));
  }
  if (fit_.mode == HARD) return answer;
  each(latents_, [&](const Piece& piece, Scratch&) {
    kernel_.join(fit_, piece.level, piece.first, piece.count);
  });
  answer.parameters.resize(fit_.parameter_count);
  for (const Scratch& scratch : scratch_)
    for (std::size_t at = 0; at < fit_.parameter_count; ++at)
      answer.parameters[at] += scratch.sums[at];
  return answer;
}

}  // namespace pyramid
}  // namespace inrcodec
