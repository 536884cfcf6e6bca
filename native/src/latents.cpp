// Decodes and encodes levels: all latents of a wavefront are predicted from the ones before.

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "kernel_choice.h"
#include "latents_contexts.h"
#include "query.h"

namespace inrcodec {

#define DECLARE(name)                       \
  namespace name {                          \
  extern const LatentKernel latent_kernel;  \
  }
FOR_EACH_BUILT(DECLARE)
#undef DECLARE

const LatentKernel* latent_kernel(const char* isa) {
#define ADDRESS(name) &name::latent_kernel,
  const LatentKernel* const built[] = {FOR_EACH_BUILT(ADDRESS)};
#undef ADDRESS
  for (const Kernel* kernel : kernels())
    for (const LatentKernel* found : built)
      if (!std::strcmp(kernel->name, found->name) && !std::strcmp(isa, found->name)) return found;
  return nullptr;
}

// Levels as contexts of finer ones, each made when it is first needed. What it is given has to
// outlive it.
class Frames {
 public:
  Frames(const std::vector<Plane>& planes, const std::vector<std::size_t>& levels)
      : planes_(planes), framed_(planes.size() + UPS) {
    for (std::size_t level = 0; level < planes.size(); ++level) {
      const Plane& plane = planes[level];
      demand(plane.rows > 0 && plane.columns > 0 && plane.rows < std::size_t{1} << 30 &&
                 plane.columns < std::size_t{1} << 30,
             "planes: none may be empty, none larger than 2^30 along an axis");
      demand(level == 0 || (plane.rows == halved(planes[level - 1].rows) &&
                            plane.columns == halved(planes[level - 1].columns)),
             "planes: each level has half the size of the one before, rounded up");
    }
    std::size_t before = planes.size();
    for (const std::size_t level : levels) {
      demand(level < before, "levels: from coarse to fine, of those that have planes");
      before = level;
    }
  }

  // Of a level, once all coarser ones are known; no two at a time.
  Contexts contexts(const LatentKernel& kernel, const ContextNetwork& network,
                    std::size_t level) {
    const Plane& plane = planes_[level];
    const Framed* ups[UPS];
    for (std::size_t up = 1; up <= UPS; ++up) {
      Framed& frame = framed_[level + up];
      if (!frame.stride() || level + up >= planes_.size())
        frame = level + up < planes_.size()
                    ? Framed(planes_[level + up])
                    : Framed(halved(plane.rows, up), halved(plane.columns, up));
      ups[up - 1] = &frame;
    }
    return Contexts(kernel, network, plane, ups);
  }

 private:
  const std::vector<Plane>& planes_;
  std::vector<Framed> framed_;
};

namespace {

// Calls visit(latent, mean, table), which may set the latent, for every one of some wavefronts in
// order. All before them have been visited.
template <typename Visit>
void visit_waves(Contexts& contexts, const Plane& plane, std::size_t wave, std::size_t end_wave,
                 Visit visit) {
  for (; wave < end_wave; ++wave) {
    std::int32_t* own = contexts.enter(wave);
    const std::size_t row = contexts.first(wave), end = contexts.end(wave);
    if (row >= end) continue;
    std::int32_t* latent = plane.values + static_cast<std::ptrdiff_t>(row) * plane.row +
                           static_cast<std::ptrdiff_t>(wave - 3 * row) * plane.column;
    const std::int32_t* means = contexts.means();
    const std::int32_t* tables = contexts.tables();
    for (std::size_t position = 0;; ++position) {
      visit(*latent, means[position], tables[position]);
      own[position] = clamped(*latent);
      if (row + position + 1 == end) break;
      latent += plane.row - 3 * plane.column;
    }
  }
}

template <typename Visit>
void visit_level(Contexts& contexts, const Plane& plane, Visit visit) {
  visit_waves(contexts, plane, 0, contexts.wavefronts(), visit);
}

// Calls visit_plane(plane, contexts) for every level in order; contexts() makes its Contexts.
template <typename VisitPlane>
void visit_levels(const LatentKernel& kernel, const ContextNetwork& network,
                  const std::vector<Plane>& planes, const std::vector<std::size_t>& levels,
                  VisitPlane visit_plane) {
  Frames frames(planes, levels);
  for (const std::size_t level : levels)
    visit_plane(planes[level], [&] { return frames.contexts(kernel, network, level); });
}

void clear(const Plane& plane) {
  for (std::size_t row = 0; row < plane.rows; ++row)
    for (std::size_t column = 0; column < plane.columns; ++column)
      plane.values[static_cast<std::ptrdiff_t>(row) * plane.row +
                   static_cast<std::ptrdiff_t>(column) * plane.column] = 0;
}

bool any(const Plane& plane) {
  for (std::size_t row = 0; row < plane.rows; ++row)
    for (std::size_t column = 0; column < plane.columns; ++column)
      if (plane.values[static_cast<std::ptrdiff_t>(row) * plane.row +
                       static_cast<std::ptrdiff_t>(column) * plane.column])
        return true;
  return false;
}

}  // namespace

LatentDecoder::LatentDecoder(const LatentKernel& kernel, const ContextNetwork& network,
                             const LatentTables& tables, std::vector<Plane> planes,
                             std::vector<std::size_t> levels, const unsigned char* bytes,
                             std::size_t size)
    : kernel_(kernel),
      network_(network),
      planes_(std::move(planes)),
      levels_(std::move(levels)),
      frames_(std::make_unique<Frames>(planes_, levels_)),
      decoder_(tables, bytes, size) {}

LatentDecoder::~LatentDecoder() = default;

void LatentDecoder::decode(std::size_t wave) {
  for (; at_ < levels_.size(); ++at_) {
    const Plane& plane = planes_[levels_[at_]];
    if (!contexts_) {
      if (!decoder_.flag()) {
        clear(plane);
        continue;
      }
      contexts_.reset(new Contexts(frames_->contexts(kernel_, network_, levels_[at_])));
      wave_ = 0;
      bits_ = 0;
    }
    const std::size_t all = contexts_->wavefronts();
    const std::size_t end = at_ + 1 < levels_.size() ? all : std::min(wave, all);
    // Copies whose registers the compiler need not write back after every latent.
    RangeDecoder own = decoder_;
    std::int32_t bits = bits_;
    visit_waves(*contexts_, plane, wave_, end,
                [&own, &bits](std::int32_t& latent, std::int32_t mean, std::int32_t table) {
                  const std::int64_t value = own.symbol(table) + mean;
                  if (value < -MAX_LATENT || value > MAX_LATENT)
                    throw Damaged("a latent is out of range");
                  latent = static_cast<std::int32_t>(value);
                  bits |= latent;
                });
    decoder_ = own;
    bits_ = bits;
    wave_ = std::max(wave_, end);
    if (wave_ < all) return;
    if (!bits) throw Damaged("all latents of a level are 0, against its flag");
    contexts_.reset();
  }
  decoder_.finish();
  frames_.reset();
}

std::vector<unsigned char> encode_latents(const LatentKernel& kernel,
                                          const ContextNetwork& network,
                                          const LatentTables& tables,
                                          const std::vector<Plane>& planes,
                                          const std::vector<std::size_t>& levels) {
  RangeEncoder encoder(tables);
  visit_levels(kernel, network, planes, levels, [&](const Plane& plane, const auto& contexts_of) {
    const bool set = any(plane);
    encoder.flag(set);
    if (!set) return;
    Contexts contexts = contexts_of();
    visit_level(contexts, plane,
                [&](const std::int32_t& latent, std::int32_t mean, std::int32_t table) {
                  demand(latent >= -MAX_LATENT && latent <= MAX_LATENT,
                         "planes: a latent is out of range");
                  encoder.symbol(table, std::int64_t{latent} - mean);
                });
  });
  return encoder.finish();
}

std::vector<double> latent_bits(const LatentKernel& kernel, const ContextNetwork& network,
                                const LatentTables& tables, const std::vector<Plane>& planes,
                                const std::vector<std::size_t>& levels) {
  std::vector<double> bits;
  visit_levels(kernel, network, planes, levels, [&](const Plane& plane, const auto& contexts_of) {
    double sum = 1;
    if (any(plane)) {
      Contexts contexts = contexts_of();
      visit_level(contexts, plane,
                  [&](const std::int32_t& latent, std::int32_t mean, std::int32_t table) {
                    sum += tables.bits(table, std::int64_t{latent} - mean);
                  });
    }
    bits.push_back(sum);
  });
  return bits;
}

}  // namespace inrcodec
