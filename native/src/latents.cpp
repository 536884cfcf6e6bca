// Decodes and encodes levels: all latents of a wavefront are predicted from the ones before.

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "kernel_choice.h"
#include "latents_contexts.h"
#include "latents_volume.h"
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
  Frames(const ContextNetwork& network, const std::vector<Plane>& planes,
         const std::vector<std::size_t>& levels)
      : network_(network),
        planes_(planes),
        framed_(network.volume() ? 0 : planes.size() + UPS),
        padded_(network.volume() ? planes.size() : 0) {
    for (std::size_t level = 0; level < planes.size(); ++level) {
      const Plane& plane = planes[level];
      demand(network.volume() || plane.sizes == Plane().sizes, "planes: pictures are needed");
      demand(in_bounds(plane), "planes: none may be empty, none larger than 2^30 along an axis");
      demand(level == 0 || is_half(planes[level - 1], plane),
             "planes: each level has half the size of the one before, rounded up");
    }
    std::size_t before = planes.size();
    for (const std::size_t level : levels) {
      demand(level < before, "levels: from coarse to fine, of those that have planes");
      before = level;
    }
  }

  // Of a level, once all coarser ones are known; no two at a time.
  std::unique_ptr<Contexts> contexts(const LatentKernel& kernel, std::size_t level) {
    const Plane& plane = planes_[level];
    if (network_.volume()) {
      const Padded* ups[UPS];
      for (std::size_t up = 1; up <= UPS; ++up) {
        const bool there = level + up < planes_.size();
        if (there && !padded_[level + up])
          padded_[level + up] = std::make_unique<Padded>(planes_[level + up]);
        ups[up - 1] = there ? padded_[level + up].get() : nullptr;
      }
      return std::make_unique<VolumeContexts>(kernel, network_, plane, ups);
    }
    const Framed* ups[UPS];
    for (std::size_t up = 1; up <= UPS; ++up) {
      Framed& frame = framed_[level + up];
      if (!frame.stride() || level + up >= planes_.size())
        frame = level + up < planes_.size()
                    ? Framed(planes_[level + up])
                    : Framed(halved(plane.rows, up), halved(plane.columns, up));
      ups[up - 1] = &frame;
    }
    return std::make_unique<PlaneContexts>(kernel, network_, plane, ups);
  }

 private:
  static bool in_bounds(const Plane& plane) {
    constexpr std::size_t MOST = std::size_t{1} << 30;
    const auto bounded = [](std::size_t size) { return size > 0 && size < MOST; };
    return bounded(plane.rows) && bounded(plane.columns) && bounded(plane.sizes[0]) &&
           bounded(plane.sizes[1]);
  }
  bool is_half(const Plane& fine, const Plane& coarse) const {
    for (std::size_t axis = 0; axis < AXES; ++axis)
      if (sizes(coarse)[axis] != halved(sizes(fine)[axis], network_.kept(axis) ? 0 : 1))
        return false;
    return true;
  }

  const ContextNetwork& network_;
  const std::vector<Plane>& planes_;
  std::vector<Framed> framed_;
  std::vector<std::unique_ptr<Padded>> padded_;
};

namespace {

// Calls visit(latent, mean, table), which may set the latent, for every one of some wavefronts in
// order. All before them have been visited.
template <typename Visit>
void visit_waves(Contexts& contexts, std::size_t wave, std::size_t end_wave, Visit visit) {
  const std::ptrdiff_t latent_step = contexts.latent_step(), own_step = contexts.own_step();
  for (; wave < end_wave; ++wave) {
    const std::vector<Run>& runs = contexts.enter(wave);
    const std::int32_t* means = contexts.means();
    const std::int32_t* tables = contexts.tables();
    for (const Run& run : runs) {
      std::int32_t *latent = run.latent, *own = run.own;
      for (std::size_t position = 0;; latent += latent_step, own += own_step) {
        visit(*latent, means[position], tables[position]);
        *own = clamped(*latent);
        if (++position == run.count) break;
      }
      means += run.count;
      tables += run.count;
    }
  }
}

template <typename Visit>
void visit_level(Contexts& contexts, Visit visit) {
  visit_waves(contexts, 0, contexts.wavefronts(), visit);
}

// Calls visit_plane(plane, contexts) for every level in order; contexts() makes its Contexts.
template <typename VisitPlane>
void visit_levels(const LatentKernel& kernel, const ContextNetwork& network,
                  const std::vector<Plane>& planes, const std::vector<std::size_t>& levels,
                  VisitPlane visit_plane) {
  Frames frames(network, planes, levels);
  for (const std::size_t level : levels)
    visit_plane(planes[level], [&] { return frames.contexts(kernel, level); });
}

// Calls visit(latent) for every latent until it returns true, and says whether it did.
template <typename Visit>
bool visit_all(const Plane& plane, Visit visit) {
  for (std::size_t a = 0; a < plane.sizes[0]; ++a)
    for (std::size_t b = 0; b < plane.sizes[1]; ++b)
      for (std::size_t row = 0; row < plane.rows; ++row) {
        std::int32_t* latent = plane.values + static_cast<std::ptrdiff_t>(a) * plane.strides[0] +
                               static_cast<std::ptrdiff_t>(b) * plane.strides[1] +
                               static_cast<std::ptrdiff_t>(row) * plane.row;
        for (std::size_t column = 0; column < plane.columns; ++column)
          if (visit(latent[static_cast<std::ptrdiff_t>(column) * plane.column])) return true;
      }
  return false;
}

void clear(const Plane& plane) {
  visit_all(plane, [](std::int32_t& latent) {
    latent = 0;
    return false;
  });
}

bool any(const Plane& plane) {
  return visit_all(plane, [](const std::int32_t& latent) { return latent != 0; });
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
      frames_(std::make_unique<Frames>(network_, planes_, levels_)),
      decoder_(tables, bytes, size) {}

LatentDecoder::~LatentDecoder() = default;

void LatentDecoder::decode(std::size_t before, std::size_t wave) {
  for (; at_ < levels_.size(); ++at_) {
    if (at_ > before) return;
    const Plane& plane = planes_[levels_[at_]];
    if (!contexts_) {
      if (!decoder_.flag()) {
        clear(plane);
        continue;
      }
      contexts_ = frames_->contexts(kernel_, levels_[at_]);
      wave_ = 0;
      bits_ = 0;
    }
    const std::size_t all = contexts_->wavefronts();
    const std::size_t end = at_ < before ? all : std::min(wave, all);
    // Copies whose registers the compiler need not write back after every latent.
    RangeDecoder own = decoder_;
    std::int32_t bits = bits_;
    visit_waves(*contexts_, wave_, end,
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
    visit_level(*contexts_of(),
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
      visit_level(*contexts_of(),
                  [&](const std::int32_t& latent, std::int32_t mean, std::int32_t table) {
                    sum += tables.bits(table, std::int64_t{latent} - mean);
                  });
    }
    bits.push_back(sum);
  });
  return bits;
}

}  // namespace inrcodec
