// Doubling of a level's grid by a symmetric filter along all axes but those that are kept, and its
// adjoint; compiled once per instruction set. All axes but the last are filtered together, row by
// row; then the last one.

#include "pyramid_fit_isa.h"
#include "pyramid_fit_vector.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

constexpr size_t MOST_ROWS = 64;      // input rows that an output row reads
constexpr size_t MOST_READERS = 12;   // per axis: output places that read an input place
constexpr size_t REACH = 4;           // of the adjoint on the last axis

// Which input place output place `at` reads by position `step` of 4, and the tap it goes by.
inline size_t read_by(size_t at, size_t step, size_t size, size_t* tap) {
  const size_t odd = at & 1;
  *tap = odd ? 3 - step : step;
  const size_t shifted = (at >> 1) + step + odd;  // two more than the place
  return shifted < 2 ? 0 : least(shifted - 2, size - 1);
}

struct Source {
  size_t row;
  float weight;
  size_t taps[MAX_AXES];
};

// Input rows of an output row, each with the product of its taps.
size_t sources_of(const Grid& in, const Grid& out, size_t row, const float* filter,
                  Source* sources) {
  size_t place[MAX_AXES], found = 1;
  row_place(out, row, place);
  sources[0] = {0, 1.0f, {}};
  for (size_t axis = 0; axis < in.kept; ++axis)
    sources[0].row = sources[0].row * in.sizes[axis] + place[axis];
  for (size_t axis = in.kept; axis + 1 < in.axes; ++axis) {
    for (size_t one = found; one-- > 0;) {
      const Source start = sources[one];
      for (size_t step = 0; step < TAPS; ++step) {
        Source& next = sources[one * TAPS + step];
        next = start;
        next.row = start.row * in.sizes[axis] +
                   read_by(place[axis], step, in.sizes[axis], &next.taps[axis]);
        next.weight = start.weight * filter[next.taps[axis]];
      }
    }
    found *= TAPS;
  }
  return found;
}

// The input row that an output row is doubled from, two samples repeated at either end.
void blend(const float* in, size_t width, const Source* sources, size_t count, float* to) {
  for (size_t column = 0; column < width; column += LANES) {
    Vector total = {};
    for (size_t one = 0; one < count; ++one)
      total += sources[one].weight * load(in + sources[one].row * width + column);
    store(to + column, total);
  }
  to[-2] = to[-1] = to[0];
  to[width] = to[width + 1] = to[width - 1];
}

void double_row(const float* __restrict in, const float* filter, size_t width,
                float* __restrict out) {
  const float k0 = filter[0], k1 = filter[1], k2 = filter[2], k3 = filter[3];
  const size_t pairs = width / 2;
  for (size_t at = 0; at < pairs; ++at) {
    const float* const x = in + at;
    out[2 * at] = k0 * x[-2] + k1 * x[-1] + k2 * x[0] + k3 * x[1];
    out[2 * at + 1] = k3 * x[-1] + k2 * x[0] + k1 * x[1] + k0 * x[2];
  }
  if (width & 1) {
    const float* const x = in + pairs;
    out[width - 1] = k0 * x[-2] + k1 * x[-1] + k2 * x[0] + k3 * x[1];
  }
}

// Even and odd samples of a row, zeros around both.
void halve_row(const float* __restrict row, size_t width, size_t half, float* __restrict even,
               float* __restrict odd) {
  for (size_t at = 1; at <= MARGIN; ++at)
    even[-static_cast<ptrdiff_t>(at)] = odd[-static_cast<ptrdiff_t>(at)] = 0;
  for (size_t at = 0; at < width / 2; ++at) {
    even[at] = row[2 * at];
    odd[at] = row[2 * at + 1];
  }
  if (width & 1) {
    even[half - 1] = row[width - 1];
    odd[half - 1] = 0;
  }
  for (size_t at = half; at < half + MARGIN; ++at) even[at] = odd[at] = 0;
}

const float* input_of(const Level& level, size_t index, size_t stage) {
  return stage + 1 == index ? level.values : level.upsampled[stage + 1];
}

}  // namespace

void upsample(const Fit& fit, Scratch& scratch, size_t level, size_t stage, size_t first,
              size_t rows) {
  const Grid &in = fit.levels[stage + 1].grid, &out = fit.levels[stage].grid;
  const Level& one = fit.levels[level];
  const float* const filter = fit.parameters + fit.upsampling + stage * TAPS;
  float* const blended = scratch.rows + MARGIN;
  for (size_t row = first; row < first + rows; ++row) {
    Source sources[MOST_ROWS];
    const size_t count = sources_of(in, out, row, filter, sources);
    blend(input_of(one, level, stage), in.width, sources, count, blended);
    double_row(blended, filter, out.width, one.upsampled[stage] + row * out.width);
  }
}

void upsample_back_last(const Fit& fit, Scratch& scratch, size_t level, size_t stage, size_t first,
                        size_t rows) {
  const Grid &in = fit.levels[stage + 1].grid, &out = fit.levels[stage].grid;
  const Level& one = fit.levels[level];
  const size_t parameter = fit.upsampling + stage * TAPS, width = in.width;
  const float* const filter = fit.parameters + parameter;
  const float* const from = input_of(one, level, stage);
  float *const blended = scratch.rows + MARGIN, *const even = blended + scratch.row,
               *const odd = even + scratch.row, *const gradient = odd + scratch.row;
  for (size_t row = first; row < first + rows; ++row) {
    float* const line = one.upsampled[stage] + row * out.width;
    Source sources[MOST_ROWS];
    const size_t count = sources_of(in, out, row, filter, sources);
    blend(from, width, sources, count, blended);
    halve_row(line, out.width, width, even, odd);

    Vector taps[TAPS] = {};
    for (size_t at = 0; at < width; at += LANES) {
      const Vector a = load(even + at), b = load(odd + at);
      const float* const x = blended + at;
      taps[0] += a * load(x - 2) + b * load(x + 2);
      taps[1] += a * load(x - 1) + b * load(x + 1);
      taps[2] += (a + b) * load(x);
      taps[3] += a * load(x + 1) + b * load(x - 1);
    }
    for (size_t tap = 0; tap < TAPS; ++tap) scratch.sums[parameter + tap] += sum(taps[tap]);

    for (ptrdiff_t at = -static_cast<ptrdiff_t>(LANES); at < static_cast<ptrdiff_t>(width + 2);
         at += LANES) {
      const float *const a = even + at, *const b = odd + at;
      store(gradient + at, filter[0] * (load(a + 2) + load(b - 2)) +
                               filter[1] * (load(a + 1) + load(b - 1)) +
                               filter[2] * (load(a) + load(b)) +
                               filter[3] * (load(a - 1) + load(b + 1)));
    }
    gradient[0] += gradient[-1] + gradient[-2];
    const float beyond = gradient[width] + gradient[width + 1];
    gradient[width - 1] += beyond;
    for (size_t at = width; at < width + LANES; ++at) gradient[at] = 0;

    if (in.axes > in.kept + 1)
      for (size_t which = 0; which < count; ++which) {
        const Source& source = sources[which];
        Vector product = {};
        for (size_t at = 0; at < width; at += LANES)
          product += load(gradient + at) * load(from + source.row * width + at);
        const double total = sum(product);
        for (size_t axis = in.kept; axis + 1 < in.axes; ++axis) {
          double others = 1;
          for (size_t other = in.kept; other + 1 < in.axes; ++other)
            if (other != axis) others *= filter[source.taps[other]];
          scratch.sums[parameter + source.taps[axis]] += total * others;
        }
      }
    for (size_t at = 0; at < width; at += LANES)
      store_first(line + at, load(gradient + at), width - at);
  }
}

namespace {

// Output places that read an input place on one axis, and by what factor.
size_t readers_of(size_t in_size, size_t out_size, size_t at, const float* filter, size_t* places,
                  float* factors) {
  size_t found = 0;
  const size_t start = at > REACH / 2 ? 2 * (at - 2) - 1 : 0;
  for (size_t out = start; out < least(2 * at + 2 * REACH, out_size); ++out) {
    float factor = 0;
    bool reads = false;
    for (size_t step = 0; step < TAPS; ++step) {
      size_t tap;
      if (read_by(out, step, in_size, &tap) != at) continue;
      factor += filter[tap];
      reads = true;
    }
    if (!reads) continue;
    places[found] = out;
    factors[found++] = factor;
  }
  return found;
}

}  // namespace

void upsample_back_lead(const Fit& fit, size_t level, size_t stage, size_t first, size_t rows) {
  const Grid &in = fit.levels[stage + 1].grid, &out = fit.levels[stage].grid;
  const Level& one = fit.levels[level];
  const size_t width = in.width, leading = in.axes - 1;
  const float* const filter = fit.parameters + fit.upsampling + stage * TAPS;
  float* const to = stage + 1 == level ? one.gradient : one.upsampled[stage + 1];
  for (size_t row = first; row < first + rows; ++row) {
    size_t place[MAX_AXES], counts[MAX_AXES], places[MAX_AXES][MOST_READERS];
    float factors[MAX_AXES][MOST_READERS];
    row_place(in, row, place);
    size_t total = 1;
    for (size_t axis = 0; axis < leading; ++axis) {
      counts[axis] = 1;
      places[axis][0] = place[axis];
      factors[axis][0] = 1.0f;
      if (axis >= in.kept)
        counts[axis] = readers_of(in.sizes[axis], out.sizes[axis], place[axis], filter,
                                  places[axis], factors[axis]);
      total *= counts[axis];
    }
    // Their products; all of them are few but for four axes.
    constexpr size_t SHARE = 128;
    for (size_t share = 0; share < total; share += SHARE) {
      const float* from[SHARE];
      float factor[SHARE];
      const size_t here = least(SHARE, total - share);
      for (size_t which = 0; which < here; ++which) {
        size_t rest = share + which, chosen[MAX_AXES] = {};
        factor[which] = 1.0f;
        for (size_t axis = leading; axis-- > 0; rest /= counts[axis]) {
          chosen[axis] = places[axis][rest % counts[axis]];
          factor[which] *= factors[axis][rest % counts[axis]];
        }
        from[which] = one.upsampled[stage] + row_of(out, chosen) * out.width;
      }
      for (size_t at = 0; at < width; at += LANES) {
        Vector sum = share ? load(to + row * width + at) : Vector{};
        for (size_t which = 0; which < here; ++which) sum += factor[which] * load(from[which] + at);
        store_first(to + row * width + at, sum, width - at);
      }
    }
  }
}

}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
