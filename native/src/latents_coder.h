// Joins planes of latents with the range coder: which table every latent has.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "latents.h"
#include "latents_range.h"

namespace inrcodec {

// Latents farther from 0 than this are not coded.
constexpr std::int64_t MAX_LATENT = 32767;

// Axes before the rows and columns, at most.
constexpr std::size_t OUTER = 2;

// A level's latents; strides are in elements. The rows and columns of a volume are those of its
// last two axes: what comes before is 1 in a picture.
struct Plane {
  std::int32_t* values;
  std::size_t rows, columns;
  std::ptrdiff_t row, column;
  std::array<std::size_t, OUTER> sizes{1, 1};
  std::array<std::ptrdiff_t, OUTER> strides{0, 0};
};

// Where a context lies: `up` levels up, or on the latent's own.
struct Offset {
  std::int32_t up, row, column;
  std::array<std::int32_t, OUTER> outer{0, 0};
};

class ContextNetwork {
 public:
  // `weights` holds every layer [units][inputs], the output layer of two units and the skip;
  // `biases` those of the layers. Throws std::invalid_argument where something does not fit.
  // `axes` are counted with rows and columns; the first `kept` of them are as long on all levels.
  ContextNetwork(const std::vector<Offset>& contexts, std::size_t axes, std::size_t kept,
                 const std::vector<std::size_t>& widths, const std::int16_t* weights,
                 std::size_t weight_count, const std::int32_t* biases, std::size_t bias_count);

  const std::vector<Offset>& contexts() const { return contexts_; }
  // Else contexts lie on rows and columns that are halved from level to level.
  bool volume() const { return axes_ > 2 || kept_; }
  // Of a volume's axes.
  bool kept(std::size_t axis) const {
    const std::size_t first = OUTER + 2 - axes_;
    return axis >= first && axis < first + kept_;
  }
  ContextLayers layers() const {
    return {contexts_.size(), widths_.size(), widths_.data(), words_.data()};
  }
  // Words per position of a kernel's scratch.
  std::size_t scratch() const;

 private:
  std::vector<Offset> contexts_;
  std::size_t axes_, kept_;
  std::vector<std::size_t> widths_;
  std::vector<std::int32_t> words_;
};

// The kernel for an instruction set of kernels(), or null.
const LatentKernel* latent_kernel(const char* isa);

// Planes are by level, finest first; `levels` are coded in order, from coarse to fine. The three
// throw std::invalid_argument where planes and levels do not fit together.

class Contexts;
class Frames;

// Fills the planes of `levels`, no more of them than it is asked for. What it is given has
// to outlive it.
class LatentDecoder {
 public:
  LatentDecoder(const LatentKernel& kernel, const ContextNetwork& network,
                const LatentTables& tables, std::vector<Plane> planes,
                std::vector<std::size_t> levels, const unsigned char* bytes, std::size_t size);
  ~LatentDecoder();
  LatentDecoder(const LatentDecoder&) = delete;

  // Decodes what is left of the first `before` levels, and of the next the wavefronts before `wave`.
  // Throws Damaged where the bytes cannot have been written; then it is not to be asked again.
  void decode(std::size_t before, std::size_t wave);

 private:
  const LatentKernel& kernel_;
  const ContextNetwork& network_;
  const std::vector<Plane> planes_;
  const std::vector<std::size_t> levels_;
  std::unique_ptr<Frames> frames_;
  RangeDecoder decoder_;
  // Of the level that is being decoded, the `at_`-th: nothing before its flag.
  std::unique_ptr<Contexts> contexts_;
  std::size_t at_ = 0, wave_ = 0;
  std::int32_t bits_ = 0;
};

std::vector<unsigned char> encode_latents(const LatentKernel& kernel,
                                          const ContextNetwork& network,
                                          const LatentTables& tables,
                                          const std::vector<Plane>& planes,
                                          const std::vector<std::size_t>& levels);

// Bits of every latent level's flag and symbols.
std::vector<double> latent_bits(const LatentKernel& kernel, const ContextNetwork& network,
                                const LatentTables& tables, const std::vector<Plane>& planes,
                                const std::vector<std::size_t>& levels);

}  // namespace inrcodec
