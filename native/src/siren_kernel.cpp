// Evaluates a SIREN at one block of points; compiled once per instruction set, as KERNEL.
//
// No header with inline functions may be included here: the linker keeps one copy of each, perhaps
// the one for a CPU that is not this one.
//
// Lanes are points, and every point sees the same operations in the same order: its value does not
// depend on its place in the block, on the block, or on the thread.

#include "siren.h"

namespace inrcodec {
namespace KERNEL {
namespace {

// A tile of sums stays in registers: ROWS vectors of points times UNITS outputs, beside ROWS
// activations and a weight.
#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 4, UNITS = 6;
#elif defined(__AVX2__)
constexpr int LANES = 8, ROWS = 4, UNITS = 3;
#elif defined(__aarch64__)
constexpr int LANES = 4, ROWS = 4, UNITS = 6;
#else
constexpr int LANES = 4, ROWS = 4, UNITS = 2;
#endif
constexpr int TILE = LANES * ROWS;
static_assert(BLOCK % TILE == 0, "tiles fill a block");

typedef float Vector __attribute__((vector_size(4 * LANES), may_alias));
typedef unsigned Bits __attribute__((vector_size(4 * LANES), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector vector) { *reinterpret_cast<Vector*>(to) = vector; }

// Cody and Waite's reduction to [-pi/2, pi/2], then a minimax polynomial (error 5e-9). Without FMA, pi
// has three parts, two of so few bits that for |x| <= 1e4 their products are exact.
inline Vector sine(Vector x) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  constexpr float PI_PARTS[] = {3.14159274f, -8.74227766e-8f};
#else
  constexpr float PI_PARTS[] = {3.140625f, 9.670257568359375e-4f, 6.278329573e-7f};
#endif
  constexpr float PER_PI = 0.318309886f;
  constexpr float TO_INTEGER = 12582912.0f;  // 1.5 * 2^23: the sum's low bits are a rounded integer
  const Vector shifted = x * PER_PI + TO_INTEGER;
  const Vector half_turns = shifted - TO_INTEGER;
  for (const float part : PI_PARTS) x = x - half_turns * part;
  const Vector square = x * x;
  Vector series = square * 2.59996389828e-6f - 1.98065743702e-4f;
  series = series * square + 8.33301673037e-3f;
  series = series * square - 1.66666570738e-1f;
  const Vector result = series * (square * x) + x;
  return (Vector)((Bits)result ^ ((Bits)shifted << 31));
}

// `units` rows of W h + b for a whole block.
template <int COUNT>
void affine_tile(const float* in, std::size_t fan_in, const float* weight, const float* bias,
                 float* out) {
  for (std::size_t first = 0; first < BLOCK; first += TILE) {
    Vector sum[COUNT][ROWS];
#pragma GCC unroll 8
    for (int unit = 0; unit < COUNT; ++unit)
#pragma GCC unroll 8
      for (int row = 0; row < ROWS; ++row) sum[unit][row] = bias[unit] - Vector{};
    for (std::size_t k = 0; k < fan_in; ++k) {
      Vector hidden[ROWS];
#pragma GCC unroll 8
      for (int row = 0; row < ROWS; ++row) hidden[row] = load(in + k * BLOCK + first + row * LANES);
#pragma GCC unroll 8
      for (int unit = 0; unit < COUNT; ++unit)
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; ++row)
          sum[unit][row] += weight[unit * fan_in + k] * hidden[row];
    }
#pragma GCC unroll 8
    for (int unit = 0; unit < COUNT; ++unit)
#pragma GCC unroll 8
      for (int row = 0; row < ROWS; ++row)
        store(out + unit * BLOCK + first + row * LANES, sum[unit][row]);
  }
}

template <int COUNT>
void affine_rest(std::size_t units, const float* in, std::size_t fan_in, const float* weight,
                 const float* bias, float* out) {
  if (units == COUNT)
    affine_tile<COUNT>(in, fan_in, weight, bias, out);
  else if constexpr (COUNT > 1)
    affine_rest<COUNT - 1>(units, in, fan_in, weight, bias, out);
}

void affine(const float* in, std::size_t fan_in, const float* weight, std::size_t units,
            float* out) {
  const float* bias = weight + units * fan_in;
  std::size_t unit = 0;
  for (; unit + UNITS <= units; unit += UNITS)
    affine_tile<UNITS>(in, fan_in, weight + unit * fan_in, bias + unit, out + unit * BLOCK);
  affine_rest<UNITS - 1>(units - unit, in, fan_in, weight + unit * fan_in, bias + unit,
                         out + unit * BLOCK);
}

void sine_of(float* values, std::size_t count) {
  for (std::size_t at = 0; at < count; at += LANES) store(values + at, sine(load(values + at)));
}

float* evaluate(const Siren& siren, float* values, float* spare) {
  const float* layer = siren.layers;
  std::size_t fan_in = siren.inputs;
  for (std::size_t depth = 0; depth <= siren.depth; ++depth) {
    const bool last = depth == siren.depth;
    const std::size_t units = last ? siren.outputs : siren.width;
    affine(values, fan_in, layer, units, spare);
    if (!last) sine_of(spare, units * BLOCK);
    layer += units * fan_in + units;
    fan_in = units;
    float* const full = spare;
    spare = values;
    values = full;
  }
  return values;
}

// The instruction sets that this file was compiled for, and no more, are what the CPU must have.
bool available() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

}  // namespace

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
extern const Kernel kernel;
const Kernel kernel = {TEXT(KERNEL), available, evaluate, sine_of};

}  // namespace KERNEL
}  // namespace inrcodec
