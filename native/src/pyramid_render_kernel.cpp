// The parts of a pyramid's render, compiled once per instruction set; without contraction to FMA,
// see pyramid_render_kernel.h.

#include "pyramid_render_kernel.h"

#include "pyramid_convolve.h"
#include "pyramid_dense.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

constexpr float OUTPUT_CENTRE = 0.5f;

static_assert(RENDER_BLOCK % TILE == 0, "tiles fill a block");
static_assert(ROW_UNIT % LANES == 0, "vectors fill a row");

void widen(const std::int32_t* latents, size_t count, float* to) {
  for (size_t at = 0; at < count; ++at) to[at] = static_cast<float>(latents[at]);
}

// Where output `at` begins to read, two places more than it is, and by which taps.
struct Reader {
  size_t start, taps[TAPS];
};

inline Reader reader_of(size_t at) {
  if (at & 1) return {(at >> 1) + 1, {3, 2, 1, 0}};
  return {at >> 1, {0, 1, 2, 3}};
}

void double_lead(const float* from, Extent in, Extent out, size_t inner, const float* filter,
                 float* to) {
  const size_t last = in.first + in.count - 1;
  for (size_t at = out.first; at < out.first + out.count; ++at, to += inner) {
    const Reader reader = reader_of(at);
    const float* rows[TAPS];
    float taps[TAPS];
    for (size_t step = 0; step < TAPS; ++step) {
      const size_t place = reader.start + step < 2 ? 0 : reader.start + step - 2;
      // A place that is not there lies beyond the edge of the grid, where values repeat.
      rows[step] =
          from + (place < in.first ? 0 : least(place, last) - in.first) * inner;
      taps[step] = filter[reader.taps[step]];
    }
    for (size_t column = 0; column < inner; column += LANES) {
      Vector total = taps[0] * load(rows[0] + column);
      for (size_t step = 1; step < TAPS; ++step)
        total = total + taps[step] * load(rows[step] + column);
      store(to + column, total);
    }
  }
}

// Values at 2 i and 2 i + 1 for `count` places i.
void double_row(const float* __restrict x, const float* filter, size_t count,
                float* __restrict to) {
  const float k0 = filter[0], k1 = filter[1], k2 = filter[2], k3 = filter[3];
  for (size_t at = 0; at < count; ++at) {
    const float* const here = x + at;
    to[2 * at] = k0 * here[-2] + k1 * here[-1] + k2 * here[0] + k3 * here[1];
    to[2 * at + 1] = k3 * here[-1] + k2 * here[0] + k1 * here[1] + k0 * here[2];
  }
}

void double_rows(float* from, size_t pitch, Extent in, float* to, size_t to_pitch, Extent out,
                 size_t rows, const float* filter) {
  // Outputs in whole pairs: one more before the first and after the last, which others overwrite.
  const size_t start = out.first >> 1, stop = (out.first + out.count + 1) >> 1;
  for (size_t row = 0; row < rows; ++row) {
    float* const line = from + row * pitch;
    line[-2] = line[-1] = line[0];
    line[in.count] = line[in.count + 1] = line[in.count - 1];
    double_row(line + start - in.first, filter, stop - start,
               to + row * to_pitch - (out.first & 1));
  }
}

void network(const RenderNetwork& net, const RenderRooms& rooms, const float* inputs,
             float* outputs, size_t plane, size_t count) {
  const size_t levels = net.layer[0].inputs, channels = net.layer[net.layers - 1].outputs;
  for (size_t first = 0; first < count; first += RENDER_BLOCK) {
    const size_t size = whole(least(RENDER_BLOCK, count - first), TILE);
    for (size_t level = 0; level < levels; ++level)
      rooms.inputs[level] = inputs + level * plane + first;
    for (size_t channel = 0; channel < channels; ++channel)
      rooms.outputs[channel] = outputs + channel * plane + first;
    const float* const* in = rooms.inputs;
    for (size_t index = 0; index < net.layers; ++index) {
      const RenderLayer& layer = net.layer[index];
      const bool last = index + 1 == net.layers;
      float* const* const out = last ? rooms.outputs : rooms.hidden[index & 1];
      Ending ending;
      ending.bias = layer.bias;
      ending.relu = !last;
      dense(in, layer.inputs, {layer.weight, layer.inputs, 1}, ending, out, layer.outputs, size);
      in = out;
    }
    Ending ending;
    ending.add = true;
    dense(rooms.inputs, levels, {net.skip, levels, 1}, ending, rooms.outputs, channels, size);
    for (size_t channel = 0; channel < channels; ++channel)
      for (size_t at = 0; at < size; at += LANES) {
        float* const value = rooms.outputs[channel] + at;
        store(value, load(value) + OUTPUT_CENTRE);
      }
  }
}

#if defined(__AVX512F__)
constexpr size_t COLUMNS = 4;
#else
constexpr size_t COLUMNS = 2;
#endif

// `C` channels from `channel` on.
template <size_t C>
void convolve_some(const Convolution& convolution, size_t channel, const float* const* sources,
                   const float* const* from, float* const* to, size_t width) {
  const float* const weight = convolution.weight + channel * convolution.sources * 3;
  for (size_t column = 0; column < width; column += COLUMNS * LANES) {
    Vector sums[C][COLUMNS];
#pragma GCC unroll 4
    for (size_t one = 0; one < C; ++one)
#pragma GCC unroll 4
      for (size_t step = 0; step < COLUMNS; ++step)
        sums[one][step] = all(convolution.bias[channel + one]);
    convolve_at<C, COLUMNS>(sources, convolution.sources, weight, column, sums);
#pragma GCC unroll 4
    for (size_t one = 0; one < C; ++one)
#pragma GCC unroll 4
      for (size_t step = 0; step < COLUMNS; ++step) {
        const size_t at = column + step * LANES;
        if (at >= width) break;
        Vector change = sums[one][step];
        if (convolution.relu) change = larger(change, Vector{});
        store_first(to[channel + one] + at, load(from[channel + one] + at) + change, width - at);
      }
  }
}

void convolve(const Convolution& convolution, const float* const* sources,
              const float* const* from, float* const* to, size_t width) {
  for (size_t channel = 0; channel < convolution.outputs;) {
    const size_t here = least(3, convolution.outputs - channel);
    (here == 3   ? convolve_some<3>
     : here == 2 ? convolve_some<2>
                 : convolve_some<1>)(convolution, channel, sources, from, to, width);
    channel += here;
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
extern const RenderKernel render_kernel;
const RenderKernel render_kernel = {TEXT(KERNEL), available, widen,   double_lead,
                                    double_rows,  network,   convolve};

}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
