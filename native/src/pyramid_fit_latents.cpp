// Rounding of latents, what becomes of their gradient, and the table of kernels; compiled once per
// instruction set.

#include "pyramid_fit_isa.h"
#include "pyramid_fit_vector.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

constexpr float CONTEXT_LIMIT = 255.0f;

// Steps of height 1 around the integers, the softer the higher the temperature (soft-rounding of
// "Universally Quantized Neural Compression", 2020), and their derivative.
struct SoftRound {
  float steepness, height;

  Vector operator()(Vector x, Vector* slope) const {
    const Vector base = floor_of(x);
    const Vector power = exp2_of((x - base - 0.5f) * (2.0f * LOG2_E * steepness));
    const Vector inverse = 1.0f / (power + 1.0f);
    *slope = (4.0f * height * steepness) * power * inverse * inverse;
    return base + (0.5f + height) - (2.0f * height) * inverse;
  }
};

inline float tanh_of(float x) {
  const Vector power = expm1_of(all(2.0f * x));
  return power[0] / (power[0] + 2.0f);
}

// Nearly Gaussian, variance 1: four uniform numbers made of the latent's place and the seed.
inline Vector noise_of(std::uint32_t seed, size_t place) {
  Bits hash = (Bits)places() + static_cast<std::uint32_t>(place);
  hash = hash * 3266489917u + seed;
  hash ^= hash >> 15;
  hash *= 2246822519u;
  hash ^= hash >> 13;
  hash *= 3266489917u;
  hash ^= hash >> 16;
  Bits more = hash * 747796405u + 2891336453u;
  more ^= more >> 16;
  more *= 2246822519u;
  more ^= more >> 15;
  const Bits total = (hash & 0xffffu) + (hash >> 16) + (more & 0xffffu) + (more >> 16);
  constexpr float MEAN = 2.0f - 2.0f / 65536, ROOT_OF_3 = 1.73205081f;
  return (__builtin_convertvector((Ints)total, Vector) * (1.0f / 65536) - MEAN) * ROOT_OF_3;
}

inline Vector load_first(const float* from, size_t count) {
  if (count >= LANES) return load(from);
  Vector values = {};
  for (size_t lane = 0; lane < count; ++lane) values[lane] = from[lane];
  return values;
}

void round(const Fit& fit, size_t level, size_t first, size_t count) {
  const Level& one = fit.levels[level];
  const float steepness = 1.0f / fit.temperature;
  const SoftRound soft{steepness, 0.5f / tanh_of(0.5f * steepness)};
  const std::uint32_t seed =
      (fit.seed * 2654435761u + static_cast<std::uint32_t>(level)) * 2246822519u;
  for (size_t at = first; at < first + count; at += LANES) {
    const size_t left = first + count - at;
    const Vector latent = load_first(one.latents + at, left);
    Vector value, slope = {};
    if (fit.mode == SOFT) {
      Vector again;
      value = soft(latent, &slope);
      if (fit.noise > 0) value += noise_of(seed, at) * fit.noise;
      value = soft(value, &again);
      slope *= again;
    } else {
      if (fit.mode == STRAIGHT) soft(latent, &slope);
      value = floor_of(latent + 0.5f);
    }
    store_first(one.values + at, value, left);
    if (fit.mode != HARD) store_first(one.slopes + at, slope, left);
  }
}

void join(const Fit& fit, size_t level, size_t first, size_t count) {
  const Level& one = fit.levels[level];
  for (size_t at = first; at < first + count; at += LANES) {
    const size_t left = first + count - at;
    // A context is cut at its limit, and what is cut has no gradient.
    const Vector contexts = magnitude(load(one.values + at)) <= CONTEXT_LIMIT
                                ? load(one.as_context + at)
                                : Vector{};
    const Vector gradient = load(one.gradient + at) + contexts;
    store_first(one.slopes + at, gradient * load_first(one.slopes + at, left), left);
  }
}

void flush(const Fit&, Scratch& scratch, size_t first, size_t count) {
  for (size_t at = first; at < first + count; ++at) {
    float* const lanes = scratch.lanes + at * LANES;
    scratch.sums[at] += sum(load(lanes));
    store(lanes, Vector{});
  }
}

// rates: step, decay of the mean, decay of the square, epsilon, what corrects both decays, and what
// the next coarser level's `shared` counts here. `shared`: the mean square that a step is divided
// by, at least that of the latents above.
void adam(float* latents, const float* gradient, float* mean, float* square, const float* coarser,
          float* shared, size_t count, const float* rates) {
  for (size_t first = 0; first < count; first += BLOCK) {
    const size_t block = least(BLOCK, count - first);
    float above[BLOCK] = {};
    if (coarser)
      for (size_t at = 0; at < block; ++at) above[at] = coarser[(first + at) / 2] * rates[6];
    for (size_t at = 0; at < block; ++at) {
      const size_t own = first + at;
      const float slope = gradient[own];
      mean[own] += (1.0f - rates[1]) * (slope - mean[own]);
      square[own] += (1.0f - rates[2]) * (slope * slope - square[own]);
      const float whole = square[own] > above[at] ? square[own] : above[at];
      shared[own] = whole;
      latents[own] -=
          rates[0] * (mean[own] * rates[4]) / (__builtin_sqrtf(whole * rates[5]) + rates[3]);
    }
  }
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
const Kernel kernel = {TEXT(KERNEL), available,          round,           upsample,
                       upsample_back_last, upsample_back_lead, synthesise, synthesise_back,
                       residual,       residual_back,    loss,            rate,
                       join,           flush,            adam};

}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
