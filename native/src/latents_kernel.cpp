// Evaluates the integer context network at many positions; compiled once per instruction set, as
// KERNEL.
//
// No header with inline functions may be included here: the linker keeps one copy of each, perhaps
// the one for a CPU that is not this one. The compiler's own are always expanded in place.
//
// Lanes are positions. Everything is modulo 2^32, so that no order of sums and no instruction set
// gives another result.

#include "latents.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace inrcodec {
namespace KERNEL {
namespace {

// A tile of sums stays in registers: ROWS vectors of positions times UNITS outputs.
#if defined(__AVX512BW__)
constexpr int LANES = 16, UNITS = 8;
#elif defined(__AVX2__)
constexpr int LANES = 8, UNITS = 4;
#else
constexpr int LANES = 4, UNITS = 4;
#endif
constexpr int WIDE = 2;
static_assert(LANES * WIDE <= MOST_POSITIONS, "a block has room");

typedef std::int32_t Ints __attribute__((vector_size(4 * LANES), may_alias));
typedef std::int32_t Anywhere __attribute__((vector_size(4 * LANES), may_alias, aligned(4)));
typedef std::uint32_t Words __attribute__((vector_size(4 * LANES), may_alias));

inline Words load(const std::int32_t* from) { return *reinterpret_cast<const Words*>(from); }
inline Words load_anywhere(const std::int32_t* from) {
  return (Words) * reinterpret_cast<const Anywhere*>(from);
}
inline void store(std::int32_t* to, Words words) { *reinterpret_cast<Words*>(to) = words; }
inline void store_anywhere(std::int32_t* to, Ints ints) {
  *reinterpret_cast<Anywhere*>(to) = (Anywhere)ints;
}
inline Words everywhere(std::int32_t value) { return (std::uint32_t)value - Words{}; }

// Of two pairs of 16-bit numbers, the sum of the two products.
inline Words multiply(Words pairs, Words weights) {
#if defined(__AVX512BW__)
  return (Words)_mm512_madd_epi16((__m512i)pairs, (__m512i)weights);
#elif defined(__AVX2__)
  return (Words)_mm256_madd_epi16((__m256i)pairs, (__m256i)weights);
#elif defined(__SSE2__)
  return (Words)_mm_madd_epi16((__m128i)pairs, (__m128i)weights);
#else
  const Ints low = (Ints)(pairs << 16) >> 16, low_weights = (Ints)(weights << 16) >> 16;
  return (Words)low * (Words)low_weights +
         (Words)((Ints)pairs >> 16) * (Words)((Ints)weights >> 16);
#endif
}

inline Words pair(Words first, Words second) { return (first & 0xffff) | second << 16; }

inline Ints clamp(Ints values, std::int32_t least, std::int32_t most) {
  const Ints low = (Ints)everywhere(least), high = (Ints)everywhere(most);
  values = values < low ? low : values;
  return values > high ? high : values;
}

// Adds `COUNT` rows of W x to `sums`.
template <int ROWS, int COUNT>
inline void add_products(const std::int32_t* in, std::size_t pairs, const std::int32_t* weight,
                         Words (&sums)[COUNT][ROWS]) {
  for (std::size_t k = 0; k < pairs; ++k) {
    Words inputs[ROWS];
#pragma GCC unroll 2
    for (int row = 0; row < ROWS; ++row) inputs[row] = load(in + (k * ROWS + row) * LANES);
#pragma GCC unroll 8
    for (int unit = 0; unit < COUNT; ++unit) {
      const Words weights = everywhere(weight[unit * pairs + k]);
#pragma GCC unroll 2
      for (int row = 0; row < ROWS; ++row) sums[unit][row] += multiply(inputs[row], weights);
    }
  }
}

// `COUNT` hidden units, an even number, stored as pairs.
template <int ROWS, int COUNT>
void hidden_tile(const std::int32_t* in, std::size_t pairs, const std::int32_t* weight,
                 const std::int32_t* bias, int shift, std::int32_t* out) {
  Words sums[COUNT][ROWS];
#pragma GCC unroll 8
  for (int unit = 0; unit < COUNT; ++unit)
#pragma GCC unroll 2
    for (int row = 0; row < ROWS; ++row)
      sums[unit][row] = everywhere(bias[unit]) + (std::uint32_t{1} << (shift - 1));
  add_products<ROWS, COUNT>(in, pairs, weight, sums);
#pragma GCC unroll 4
  for (int unit = 0; unit < COUNT; unit += 2)
#pragma GCC unroll 2
    for (int row = 0; row < ROWS; ++row) {
      const Ints first = clamp((Ints)sums[unit][row] >> shift, 0, 32767);
      const Ints second = clamp((Ints)sums[unit + 1][row] >> shift, 0, 32767);
      store(out + (unit / 2 * ROWS + row) * LANES, pair((Words)first, (Words)second));
    }
}

template <int ROWS, int COUNT>
void hidden_rest(std::size_t units, const std::int32_t* in, std::size_t pairs,
                 const std::int32_t* weight, const std::int32_t* bias, int shift,
                 std::int32_t* out) {
  if constexpr (COUNT > 0) {
    if (units == COUNT)
      hidden_tile<ROWS, COUNT>(in, pairs, weight, bias, shift, out);
    else
      hidden_rest<ROWS, COUNT - 2>(units, in, pairs, weight, bias, shift, out);
  }
}

template <int ROWS>
void hidden(const std::int32_t* in, std::size_t pairs, const std::int32_t* weight,
            std::size_t units, int shift, std::int32_t* out) {
  const std::int32_t* bias = weight + units * pairs;
  std::size_t unit = 0;
  for (; unit + UNITS <= units; unit += UNITS)
    hidden_tile<ROWS, UNITS>(in, pairs, weight + unit * pairs, bias + unit, shift,
                             out + unit / 2 * ROWS * LANES);
  hidden_rest<ROWS, UNITS - 2>(units - unit, in, pairs, weight + unit * pairs, bias + unit, shift,
                               out + unit / 2 * ROWS * LANES);
}

template <int ROWS>
void block(const ContextLayers& layers, const std::int32_t* const* contexts, std::size_t first,
           std::int32_t* scratch, std::int32_t* means, std::int32_t* tables) {
  constexpr std::size_t POSITIONS = ROWS * LANES;
  const std::size_t context_pairs = (layers.contexts + 1) / 2;
  for (std::size_t k = 0; k < context_pairs; ++k)
    for (int row = 0; row < ROWS; ++row) {
      const std::size_t at = first + row * LANES;
      const Words one = load_anywhere(contexts[2 * k] + at);
      const bool alone = 2 * k + 1 == layers.contexts;
      const Words other = alone ? Words{} : load_anywhere(contexts[2 * k + 1] + at);
      store(scratch + k * POSITIONS + row * LANES, pair(one, other));
    }

  std::size_t widest = 0;
  for (std::size_t layer = 0; layer < layers.depth; ++layer)
    if (layers.widths[layer] > widest) widest = layers.widths[layer];
  std::int32_t* from = scratch;
  std::int32_t* to = scratch + context_pairs * POSITIONS;
  std::int32_t* spare = to + widest / 2 * POSITIONS;
  const std::int32_t* words = layers.words;
  std::size_t pairs = context_pairs;
  for (std::size_t layer = 0; layer < layers.depth; ++layer) {
    const std::size_t units = layers.widths[layer];
    // Contexts have no fraction, units have 7 bits, weights have 10.
    hidden<ROWS>(from, pairs, words, units, layer ? 10 : 3, to);
    words += units * (pairs + 1);
    pairs = units / 2;
    from = to;
    to = spare;
    spare = from;
  }

  const std::int32_t* bias = words + 2 * pairs;
  Words sums[2][ROWS] = {}, skips[2][ROWS] = {};
  add_products<ROWS, 2>(scratch, context_pairs, bias + 2, skips);
  add_products<ROWS, 2>(from, pairs, words, layers.depth ? sums : skips);
  for (int row = 0; row < ROWS; ++row) {
    const auto output = [&](int unit) {
      return everywhere(bias[unit]) + sums[unit][row] + (skips[unit][row] << 7);
    };
    const Ints mean = (Ints)(output(0) + (1 << 11)) >> 12;
    const Ints whole = (mean + PHASES / 2) >> 5;
    const Ints phase = mean - (Ints)((Words)whole << 5);
    const Ints scale = clamp(((Ints)(output(1) + (1 << 13)) >> 14) + 40, 0, SCALES - 1);
    const Ints phased = (Ints)((Words)scale << 5) + phase + PHASES / 2;
    const Ints table = scale < PHASED ? phased : scale + (PHASES * PHASED - PHASED);
    store_anywhere(means + first + row * LANES, whole);
    store_anywhere(tables + first + row * LANES, table);
  }
}

void evaluate(const ContextLayers& layers, const std::int32_t* const* contexts,
              std::size_t positions, std::int32_t* scratch, std::int32_t* means,
              std::int32_t* tables) {
  for (std::size_t first = 0; first < positions;) {
    if (positions - first > LANES) {
      block<WIDE>(layers, contexts, first, scratch, means, tables);
      first += WIDE * LANES;
    } else {
      block<1>(layers, contexts, first, scratch, means, tables);
      first += LANES;
    }
  }
}

}  // namespace

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
extern const LatentKernel latent_kernel;
const LatentKernel latent_kernel = {TEXT(KERNEL), evaluate};

}  // namespace KERNEL
}  // namespace inrcodec
