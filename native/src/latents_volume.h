// Joins the latents of volumes with the context network's predictions, wavefront by wavefront.
//
// Wavefront t holds the positions with 27 a + 9 b + 3 row + column = t. Its latents lie in many
// lines: contexts are gathered one by one, from arrays with zeros around them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "latents_coder.h"
#include "latents_contexts.h"

namespace inrcodec {

constexpr std::size_t AXES = OUTER + 2;
// Steps to contexts on a level of its own, and on coarser ones.
constexpr std::int32_t FARTHEST = 3, NEAR = 1;

using Place = std::array<std::ptrdiff_t, AXES>;

inline std::array<std::int32_t, AXES> steps(const Offset& offset) {
  return {offset.outer[0], offset.outer[1], offset.row, offset.column};
}

inline std::array<std::size_t, AXES> sizes(const Plane& plane) {
  return {plane.sizes[0], plane.sizes[1], plane.rows, plane.columns};
}

inline std::ptrdiff_t sum_of(const Place& place, const Place& factors) {
  std::ptrdiff_t sum = 0;
  for (std::size_t axis = 0; axis < AXES; ++axis) sum += place[axis] * factors[axis];
  return sum;
}

// Weights of the indices in the number of a wavefront.
constexpr Place WAVE = {27, 9, 3, 1};

inline void demand_in_volume(const Offset& offset) {
  demand(offset.up >= 0 && offset.up <= static_cast<int>(UPS),
         "contexts: an unknown place on a coarser level");
  std::ptrdiff_t wave = 0;
  for (std::size_t axis = 0; axis < AXES; ++axis) {
    const std::ptrdiff_t step = steps(offset)[axis],
                         most = offset.up ? (offset.up == 1 ? NEAR : 0) : FARTHEST;
    demand(step >= -most && step <= most, "contexts: too far away");
    wave += WAVE[axis] * step;
  }
  demand(offset.up || wave < 0, "contexts: not in an earlier wavefront");
}

// Values of a level, clamped, with so many zeros around them along every axis.
class Padded {
 public:
  Padded(const Plane& plane, const Place& padding) : padding_(padding) {
    std::ptrdiff_t size = 1;
    for (std::size_t axis = AXES; axis-- > 0;) {
      strides_[axis] = size;
      size *= static_cast<std::ptrdiff_t>(sizes(plane)[axis]) + 2 * padding[axis];
    }
    values_.resize(size);
  }

  // With zeros that the coarser contexts may ask for, and the values.
  explicit Padded(const Plane& plane) : Padded(plane, {NEAR, NEAR, NEAR, NEAR}) {
    const auto a_size = static_cast<std::ptrdiff_t>(plane.sizes[0]),
               b_size = static_cast<std::ptrdiff_t>(plane.sizes[1]),
               rows = static_cast<std::ptrdiff_t>(plane.rows),
               columns = static_cast<std::ptrdiff_t>(plane.columns);
    for (std::ptrdiff_t a = 0; a < a_size; ++a)
      for (std::ptrdiff_t b = 0; b < b_size; ++b)
        for (std::ptrdiff_t row = 0; row < rows; ++row) {
          const std::int32_t* from = plane.values + a * plane.strides[0] + b * plane.strides[1] +
                                     row * plane.row;
          std::int32_t* to = at({a, b, row, 0});
          for (std::ptrdiff_t column = 0; column < columns; ++column, from += plane.column)
            *to++ = clamped(*from);
        }
  }

  const std::int32_t* at(const Place& place) const {
    return values_.data() + sum_of(place, strides_) + sum_of(padding_, strides_);
  }
  std::int32_t* at(const Place& place) {
    return const_cast<std::int32_t*>(static_cast<const Padded&>(*this).at(place));
  }
  const Place& strides() const { return strides_; }

 private:
  Place padding_, strides_{};
  std::vector<std::int32_t> values_;
};

inline Place reach_of(const ContextNetwork& network) {
  Place reach{};
  for (const Offset& offset : network.contexts())
    for (std::size_t axis = 0; axis < AXES; ++axis)
      if (!offset.up)
        reach[axis] = std::max<std::ptrdiff_t>(reach[axis], std::abs(steps(offset)[axis]));
  return reach;
}

class VolumeContexts final : public Contexts {
 public:
  VolumeContexts(const LatentKernel& kernel, const ContextNetwork& network, const Plane& plane,
                 const Padded* const (&ups)[UPS])
      : VolumeContexts(kernel, network, plane, ups, Padded(plane, reach_of(network))) {}

  std::size_t wavefronts() const override {
    std::ptrdiff_t last = 0;
    for (std::size_t axis = 0; axis < AXES; ++axis) last += WAVE[axis] * (sizes_[axis] - 1);
    return last + 1;
  }

  const std::vector<Run>& enter(std::size_t wave) override {
    runs_.clear();
    corners_.clear();
    std::size_t count = 0;
    const auto rest = static_cast<std::ptrdiff_t>(wave);
    for_indices(0, rest, [&](std::ptrdiff_t a, std::ptrdiff_t after_a) {
      for_indices(1, after_a, [&](std::ptrdiff_t b, std::ptrdiff_t after_b) {
        const auto [first, end] = indices(2, after_b);
        if (first >= end) return;
        const Place corner = {a, b, first, after_b - 3 * first};
        corners_.push_back(corner);
        runs_.push_back({plane_.values + sum_of(corner, latent_strides_), own_.at(corner),
                         static_cast<std::size_t>(end - first)});
        count += end - first;
      });
    });
    make_room(count);
    std::size_t lane = 0;
    for (std::size_t run = 0; run < runs_.size(); lane += runs_[run++].count)
      gather(runs_[run], corners_[run], lane);
    if (count) evaluate(count);
    return runs_;
  }

 private:
  VolumeContexts(const LatentKernel& kernel, const ContextNetwork& network, const Plane& plane,
                 const Padded* const (&ups)[UPS], Padded own)
      : Contexts(kernel, network, plane, own.strides()[2] - 3 * own.strides()[3]),
        plane_(plane),
        sizes_{static_cast<std::ptrdiff_t>(plane.sizes[0]),
               static_cast<std::ptrdiff_t>(plane.sizes[1]),
               static_cast<std::ptrdiff_t>(plane.rows),
               static_cast<std::ptrdiff_t>(plane.columns)},
        latent_strides_{plane.strides[0], plane.strides[1], plane.row, plane.column},
        ups_{ups[0], ups[1], ups[2]},
        own_(std::move(own)) {
    for (const Offset& offset : network_.contexts()) {
      std::ptrdiff_t back = 0;
      for (std::size_t axis = 0; axis < AXES; ++axis)
        back += steps(offset)[axis] * own_.strides()[axis];
      own_offsets_.push_back(back);
    }
  }

  // First and past the last index along an axis of positions whose weighted sum, over this axis
  // and later ones, is `rest`.
  std::array<std::ptrdiff_t, 2> indices(std::size_t axis, std::ptrdiff_t rest) const {
    std::ptrdiff_t later = 0;
    for (std::size_t next = axis + 1; next < AXES; ++next) later += WAVE[next] * (sizes_[next] - 1);
    const std::ptrdiff_t weight = WAVE[axis], missing = rest - later;
    return {missing > 0 ? (missing + weight - 1) / weight : 0,
            std::min(sizes_[axis], rest / weight + 1)};
  }

  template <typename Visit>
  void for_indices(std::size_t axis, std::ptrdiff_t rest, Visit visit) const {
    const auto [first, end] = indices(axis, rest);
    for (std::ptrdiff_t index = first; index < end; ++index)
      visit(index, rest - WAVE[axis] * index);
  }

  void make_room(std::size_t count) {
    if (count + MOST_POSITIONS <= room_) return;
    room_ = 2 * count + MOST_POSITIONS;
    means_.resize(room_);
    tables_.resize(room_);
    gathered_.assign(network_.contexts().size() * room_, 0);
    for (std::size_t context = 0; context < inputs_.size(); ++context)
      inputs_[context] = gathered_.data() + context * room_;
  }

  void gather(const Run& run, const Place& corner, std::size_t lane) {
    std::int32_t* to = gathered_.data() + lane;
    for (std::size_t context = 0; context < own_offsets_.size(); ++context, to += room_) {
      const Offset& offset = network_.contexts()[context];
      if (offset.up) {
        gather_coarser(offset, corner, run.count, to);
        continue;
      }
      const std::int32_t* from = run.own + own_offsets_[context];
      for (std::size_t position = 0; position < run.count; ++position, from += own_step_)
        to[position] = *from;
    }
  }

  void gather_coarser(const Offset& offset, const Place& corner, std::size_t count,
                      std::int32_t* to) const {
    const Padded* level = ups_[offset.up - 1];
    // Where there is none, zeros have stood there from the start.
    if (!level) return;
    const auto over = [&](std::size_t axis, std::ptrdiff_t index) {
      const std::ptrdiff_t step = steps(offset)[axis];
      if (network_.kept(axis)) return (index + step) * level->strides()[axis];
      // Mirrored where the latent lies in the lower half of what covers it.
      return ((index >> offset.up) + (index & 1 ? step : -step)) * level->strides()[axis];
    };
    const std::int32_t* from = level->at({}) + over(0, corner[0]) + over(1, corner[1]);
    std::ptrdiff_t row = corner[2], column = corner[3];
    for (std::size_t position = 0; position < count; ++position, ++row, column -= 3)
      to[position] = from[over(2, row) + over(3, column)];
  }

  const Plane plane_;
  const Place sizes_, latent_strides_;
  const Padded* const ups_[UPS];
  Padded own_;
  std::vector<std::ptrdiff_t> own_offsets_;
  std::vector<Place> corners_;
  std::vector<std::int32_t> gathered_;
  std::size_t room_ = 0;
};

}  // namespace inrcodec
