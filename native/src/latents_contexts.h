// Joins planes of latents with the context network's predictions, wavefront by wavefront.
//
// Wavefront t holds the positions with 3 row + column = t. Its latents lie side by side by row, and
// so do those at the same offset from them: contexts are runs of earlier wavefronts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "latents_coder.h"
#include "siren.h"

namespace inrcodec {

inline void demand(bool held, const char* otherwise) {
  if (!held) throw std::invalid_argument(otherwise);
}

// Rows that a context may lie above, wavefronts that it may lie back (and one: a power of two), and
// rows that later wavefronts may ask for below the last.
constexpr std::size_t ABOVE = 3, BACK = 16, BELOW = BACK / 3 + 1;

// Contexts of coarser levels, in the order in which `gather` finds them.
constexpr Offset COARSER[] = {{1, 0, 0},  {1, 1, 0}, {1, -1, 0}, {1, 0, 1},
                              {1, 0, -1}, {2, 0, 0}, {3, 0, 0}};
constexpr std::size_t COARSER_COUNT = 7, UPS = 3;

// Place in COARSER, or COARSER_COUNT.
inline std::size_t coarser(const Offset& offset) {
  std::size_t place = 0;
  while (place < COARSER_COUNT &&
         !(COARSER[place].up == offset.up && COARSER[place].row == offset.row &&
           COARSER[place].column == offset.column))
    ++place;
  return place;
}

inline std::int32_t back(const Offset& offset) { return -(3 * offset.row + offset.column); }

inline std::int32_t clamped(std::int32_t value) {
  return std::clamp(value, -CONTEXT_LIMIT, CONTEXT_LIMIT);
}

// A level as the contexts of finer ones: clamped, zeros around it.
class Framed {
 public:
  Framed() = default;
  Framed(std::size_t rows, std::size_t columns)
      : stride_(columns + 2), values_(stride_ * (rows + 2)) {}
  explicit Framed(const Plane& plane) : Framed(plane.rows, plane.columns) {
    for (std::size_t row = 0; row < plane.rows; ++row) {
      const std::int32_t* from = plane.values + static_cast<std::ptrdiff_t>(row) * plane.row;
      std::int16_t* to = &values_[(row + 1) * stride_ + 1];
      for (std::size_t column = 0; column < plane.columns; ++column, from += plane.column)
        *to++ = clamped(*from);
    }
  }
  const std::int16_t* at(std::size_t row, std::size_t column) const {
    return values_.data() + (row + 1) * stride_ + column + 1;
  }
  std::ptrdiff_t stride() const { return stride_; }

 private:
  std::size_t stride_ = 0;
  std::vector<std::int16_t> values_;
};

inline std::size_t halved(std::size_t size, std::size_t times = 1) {
  while (times--) size = size / 2 + size % 2;
  return size;
}

// Latents of a wavefront that lie side by side, each so many elements after the one before.
struct Run {
  std::int32_t* latent;
  // Where their values, clamped, go.
  std::int32_t* own;
  std::size_t count;
};

// What is kept between the wavefronts of a level.
class Contexts {
 public:
  virtual ~Contexts() = default;
  virtual std::size_t wavefronts() const = 0;
  // Finds means and tables of a wavefront's latents, in the order of its runs.
  virtual const std::vector<Run>& enter(std::size_t wave) = 0;

  const std::int32_t* means() const { return means_.data(); }
  const std::int32_t* tables() const { return tables_.data(); }
  std::ptrdiff_t latent_step() const { return latent_step_; }
  std::ptrdiff_t own_step() const { return own_step_; }

 protected:
  Contexts(const LatentKernel& kernel, const ContextNetwork& network, const Plane& plane,
           std::ptrdiff_t own_step)
      : kernel_(kernel),
        network_(network),
        layers_(network.layers()),
        latent_step_(plane.row - 3 * plane.column),
        own_step_(own_step),
        inputs_(network.contexts().size()),
        scratch_(network.scratch() * MOST_POSITIONS + ALIGNMENT / sizeof(std::int32_t)) {
    const auto address = reinterpret_cast<std::uintptr_t>(scratch_.data());
    aligned_ = scratch_.data() + (ALIGNMENT - address % ALIGNMENT) % ALIGNMENT / 4;
  }
  // It points into itself.
  Contexts(const Contexts&) = delete;

  void evaluate(std::size_t count) {
    kernel_.evaluate(layers_, inputs_.data(), count, aligned_, means_.data(), tables_.data());
  }

  const LatentKernel& kernel_;
  const ContextNetwork& network_;
  const ContextLayers layers_;
  const std::ptrdiff_t latent_step_, own_step_;
  std::vector<std::int32_t> means_, tables_;
  std::vector<const std::int32_t*> inputs_;
  std::vector<Run> runs_;

 private:
  std::vector<std::int32_t> scratch_;
  std::int32_t* aligned_;
};

// Those of a picture.
class PlaneContexts final : public Contexts {
 public:
  PlaneContexts(const LatentKernel& kernel, const ContextNetwork& network, const Plane& plane,
           const Framed* const (&ups)[UPS])
      : Contexts(kernel, network, plane, 1),
        plane_(plane),
        rows_(plane.rows),
        columns_(plane.columns),
        ups_{ups[0], ups[1], ups[2]},
        stride_(ABOVE + rows_ + BELOW + MOST_POSITIONS),
        ring_(BACK * stride_),
        room_(std::min(rows_, columns_ / 3 + 1) + MOST_POSITIONS),
        coarser_(COARSER_COUNT * room_) {
    means_.resize(room_);
    tables_.resize(room_);
    gather(0);
  }

  std::size_t wavefronts() const override { return 3 * (rows_ - 1) + columns_; }

  const std::vector<Run>& enter(std::size_t wave) override {
    const std::size_t row = first(wave), stop = end(wave), count = stop > row ? stop - row : 0;
    std::int32_t* own = ring(wave);
    // Positions outside of the grid are zeros to the wavefronts that come.
    std::fill(own + row - std::min(row, ABOVE), own + row, 0);
    std::fill(own + row + count, own + row + count + BELOW, 0);
    std::size_t context = 0;
    for (const Offset& offset : network_.contexts())
      inputs_[context++] =
          offset.up ? coarser_.data() + coarser(offset) * room_
                    : ring(wave - back(offset)) + static_cast<std::ptrdiff_t>(row) + offset.row;
    evaluate(count);
    // Early, since a CPU stalls where it reads whole vectors of numbers that it has just written.
    gather(wave + 1);
    runs_.clear();
    if (!count) return runs_;
    std::int32_t* latent = plane_.values + static_cast<std::ptrdiff_t>(row) * plane_.row +
                           static_cast<std::ptrdiff_t>(wave - 3 * row) * plane_.column;
    runs_.push_back({latent, own + row, count});
    return runs_;
  }

 private:
  // Rows of a wavefront; there may be none.
  std::size_t first(std::size_t wave) const {
    return wave < columns_ ? 0 : (wave - columns_) / 3 + 1;
  }
  std::size_t end(std::size_t wave) const { return std::min(rows_, wave / 3 + 1); }
  // Row 0 of a wavefront; of those before the first, too, which are zeros.
  std::int32_t* ring(std::size_t wave) { return &ring_[wave % BACK * stride_ + ABOVE]; }

  // The contexts on coarser levels; past the last wavefront there are none.
  void gather(std::size_t wave) {
    const std::ptrdiff_t stride = ups_[0]->stride();
    std::int32_t* to = coarser_.data();
    const std::size_t stop = end(wave);
    std::size_t row = first(wave), column = wave - 3 * row;
    for (; row < stop; ++row, column -= 3, ++to) {
      const std::int16_t* one = ups_[0]->at(row >> 1, column >> 1);
      const std::ptrdiff_t down = row & 1 ? stride : -stride, right = column & 1 ? 1 : -1;
      to[0] = one[0];
      to[room_] = one[down];
      to[2 * room_] = one[-down];
      to[3 * room_] = one[right];
      to[4 * room_] = one[-right];
      to[5 * room_] = *ups_[1]->at(row >> 2, column >> 2);
      to[6 * room_] = *ups_[2]->at(row >> 3, column >> 3);
    }
  }

  const Plane plane_;
  const std::size_t rows_, columns_;
  const Framed* const ups_[UPS];
  const std::size_t stride_;
  std::vector<std::int32_t> ring_;
  const std::size_t room_;
  std::vector<std::int32_t> coarser_;
};

}  // namespace inrcodec
