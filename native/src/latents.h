// Joins the coder of latents with the kernels: one source, compiled once per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace inrcodec {

// Positions that a kernel takes at a time, at most: the arrays it reads and writes have room for so
// many beyond the last position.
constexpr std::size_t MOST_POSITIONS = 32;

// Contexts are clamped to this.
constexpr int CONTEXT_LIMIT = 255;

// Tables of scales below PHASED have one of 32 phases, the others none: the number of a table is
// 32 scale + phase + 16, or 32 PHASED + scale - PHASED.
constexpr int PHASES = 32, PHASED = 56, SCALES = 97;
constexpr std::size_t LATENT_TABLES = PHASES * PHASED + SCALES - PHASED;

// Integer weights, two 16-bit numbers in a word (the first in the low half), since the kernels
// multiply pairs. A layer is its weights [units][pairs of inputs], then its biases [units]; hidden
// layers are padded to an even number of units. After the hidden layers come the output layer,
// which has two units, and the weights [2][pairs of contexts] of the skip.
struct ContextLayers {
  std::size_t contexts, depth;
  const std::size_t* widths;
  const std::int32_t* words;
};

struct LatentKernel {
  const char* name;
  // From contexts[k][position], means and numbers of tables [position]. `scratch` starts at a
  // multiple of 64 bytes and has room for the pairs of the contexts and two times those of the
  // widest layer, for MOST_POSITIONS.
  void (*evaluate)(const ContextLayers& layers, const std::int32_t* const* contexts,
                   std::size_t positions, std::int32_t* scratch, std::int32_t* means,
                   std::int32_t* tables);
};

}  // namespace inrcodec
