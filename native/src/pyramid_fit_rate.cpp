// Bits of latents by the context network and their gradients; compiled once per instruction set.

#include "pyramid_fit_dense.h"
#include "pyramid_fit_isa.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {
namespace {

constexpr float CONTEXT_LIMIT = 255.0f;
constexpr float LEAST_SCALE = -5.0f, MOST_SCALE = 7.0f;  // log2

// What an escape costs, about. The gradient goes on, so that the latent comes back.
constexpr float MOST_BITS = 24.0f;

inline Vector limited(Vector value) {
  return smaller(larger(value, all(-CONTEXT_LIMIT)), all(CONTEXT_LIMIT));
}

// The values of a coarser level that a run of latents needs: one more on either side.
constexpr size_t MOST_COARSE = whole(BLOCK / 2 + 4, MAX_LANES) + MAX_LANES;

// Where a context of a row lies: its row and, on the last axis, the offset. False: outside.
inline bool context_row(const Fit& fit, size_t level, const Context& context, const size_t* place,
                        size_t* row) {
  if (level + context.up >= fit.level_count) return false;
  const Grid& grid = fit.levels[level + context.up].grid;
  size_t there[MAX_AXES] = {};
  for (size_t axis = 0; axis + 1 < grid.axes; ++axis) {
    ptrdiff_t offset = context.offset[axis];
    const size_t up = axis < grid.kept ? 0 : context.up;
    if (up && !(place[axis] & 1)) offset = -offset;
    // A negative place turns into a large one.
    there[axis] = (place[axis] >> up) + static_cast<size_t>(offset);
    if (there[axis] >= grid.sizes[axis]) return false;
  }
  *row = row_of(grid, there);
  return true;
}

// The part of a run whose neighbours at `offset` lie in the row.
struct Part {
  size_t first, end;
};

inline Part part_inside(size_t width, size_t column, size_t run, ptrdiff_t offset) {
  const ptrdiff_t before = -static_cast<ptrdiff_t>(column) - offset;
  const ptrdiff_t after = static_cast<ptrdiff_t>(width) - static_cast<ptrdiff_t>(column) - offset;
  const ptrdiff_t length = static_cast<ptrdiff_t>(run);
  const ptrdiff_t first = before < 0 ? 0 : before < length ? before : length;
  const ptrdiff_t end = after < first ? first : after < length ? after : length;
  return {static_cast<size_t>(first), static_cast<size_t>(end)};
}

inline void gather_own(const float* row, size_t width, size_t column, size_t run, ptrdiff_t offset,
                       float* to) {
  const Part part = part_inside(width, column, run, offset);
  for (size_t at = 0; at < part.first; ++at) to[at] = 0;
  const float* const from = row + static_cast<ptrdiff_t>(column) + offset;
  for (size_t at = part.first; at < part.end; at += LANES)
    store_first(to + at, limited(load(from + at)), part.end - at);
  for (size_t at = part.end; at < run; ++at) to[at] = 0;
}

inline void scatter_own(float* row, size_t width, size_t column, size_t run, ptrdiff_t offset,
                        const float* gradient) {
  const Part part = part_inside(width, column, run, offset);
  float* const to = row + static_cast<ptrdiff_t>(column) + offset;
  for (size_t at = part.first; at < part.end; at += LANES)
    store_first(to + at, load(to + at) + load(gradient + at), part.end - at);
}

// A run of latents and the coarser values that cover it.
struct Cover {
  size_t width, base, count, head, pairs;
};

inline Cover cover_of(size_t width, size_t column, size_t run, size_t up) {
  const size_t base = column >> up, unit = size_t{1} << up;
  const size_t head = least(run, (unit - column % unit) % unit);
  return {width, base, ((column + run - 1) >> up) - base + 1, head, (run - head) >> up};
}

template <size_t UP>
inline ptrdiff_t covering(size_t column, size_t base, ptrdiff_t offset) {
  const ptrdiff_t mirrored = column & 1 ? offset : -offset;
  return static_cast<ptrdiff_t>((column >> UP) - base) + (UP == 1 ? mirrored : 0);
}

// coarse[-1 .. count] are the values around the run, zero outside the row.
template <size_t UP>
inline void spread(const float* __restrict coarse, const Cover& cover, size_t column, size_t run,
                   ptrdiff_t offset, float* __restrict to) {
  constexpr size_t UNIT = size_t{1} << UP;
  for (size_t at = 0; at < cover.head; ++at)
    to[at] = coarse[covering<UP>(column + at, cover.base, offset)];
  const float* const from = coarse + ((column + cover.head) >> UP) - cover.base;
  float* const main = to + cover.head;
  if (UP == 1) {
    const float *const even = from - offset, *const odd = from + offset;
    for (size_t pair = 0; pair < cover.pairs; ++pair) {
      main[2 * pair] = even[pair];
      main[2 * pair + 1] = odd[pair];
    }
  } else {
    for (size_t pair = 0; pair < cover.pairs; ++pair)
      for (size_t one = 0; one < UNIT; ++one) main[UNIT * pair + one] = from[pair];
  }
  for (size_t at = cover.head + cover.pairs * UNIT; at < run; ++at)
    to[at] = coarse[covering<UP>(column + at, cover.base, offset)];
}

template <size_t UP>
inline void collect(const float* __restrict gradient, const Cover& cover, size_t column, size_t run,
                    ptrdiff_t offset, float* __restrict coarse) {
  constexpr size_t UNIT = size_t{1} << UP;
  for (size_t at = 0; at < cover.head; ++at)
    coarse[covering<UP>(column + at, cover.base, offset)] += gradient[at];
  float* const to = coarse + ((column + cover.head) >> UP) - cover.base;
  const float* const main = gradient + cover.head;
  if (UP == 1 && offset) {
    float *const even = to - offset, *const odd = to + offset;
    for (size_t pair = 0; pair < cover.pairs; ++pair) even[pair] += main[2 * pair];
    for (size_t pair = 0; pair < cover.pairs; ++pair) odd[pair] += main[2 * pair + 1];
  } else {
    for (size_t pair = 0; pair < cover.pairs; ++pair) {
      float total = 0;
      for (size_t one = 0; one < UNIT; ++one) total += main[UNIT * pair + one];
      to[pair] += total;
    }
  }
  for (size_t at = cover.head + cover.pairs * UNIT; at < run; ++at)
    coarse[covering<UP>(column + at, cover.base, offset)] += gradient[at];
}

inline void gather_coarser(const float* row, size_t width, size_t column, size_t run, size_t up,
                           ptrdiff_t offset, float* to) {
  const Cover cover = cover_of(width, column, run, up);
  float room[MOST_COARSE + MAX_LANES];
  float* const coarse = room + MAX_LANES;
  for (size_t at = 0; at < cover.count; at += LANES)
    store(coarse + at, limited(load(row + cover.base + at)));
  const auto value = [&](float one) {
    return one < -CONTEXT_LIMIT ? -CONTEXT_LIMIT : one > CONTEXT_LIMIT ? CONTEXT_LIMIT : one;
  };
  const size_t end = cover.base + cover.count;
  coarse[-1] = cover.base ? value(row[cover.base - 1]) : 0;
  coarse[cover.count] = end < width ? value(row[end]) : 0;
  if (up == 1) spread<1>(coarse, cover, column, run, offset, to);
  if (up == 2) spread<2>(coarse, cover, column, run, offset, to);
  if (up == 3) spread<3>(coarse, cover, column, run, offset, to);
}

inline void scatter_coarser(float* row, size_t width, size_t column, size_t run, size_t up,
                            ptrdiff_t offset, const float* gradient) {
  const Cover cover = cover_of(width, column, run, up);
  float room[MOST_COARSE + MAX_LANES] = {};
  float* const coarse = room + MAX_LANES;
  if (up == 1) collect<1>(gradient, cover, column, run, offset, coarse);
  if (up == 2) collect<2>(gradient, cover, column, run, offset, coarse);
  if (up == 3) collect<3>(gradient, cover, column, run, offset, coarse);
  float* const to = row + cover.base;
  if (offset && cover.base) to[-1] += coarse[-1];
  for (size_t at = 0; at < cover.count; ++at) to[at] += coarse[at];
  if (offset && cover.base + cover.count < width) to[cover.count] += coarse[cover.count];
}

// Calls `inside` for each context of each run of a block that lies in a row of a grid: its number,
// itself, the level it lies on, its row there, and the run; `outside` for the others.
template <typename Inside, typename Outside>
inline void for_contexts(const Fit& fit, size_t level, size_t first, size_t count,
                         const Inside& inside, const Outside& outside) {
  const Grid& grid = fit.levels[level].grid;
  for_runs(grid, first, count, [&](size_t row, size_t column, size_t run, size_t done) {
    size_t place[MAX_AXES];
    row_place(grid, row, place);
    for (size_t k = 0; k < fit.context_count; ++k) {
      const Context& context = fit.contexts[k];
      size_t there;
      if (context_row(fit, level, context, place, &there))
        inside(k, context, fit.levels[level + context.up], there, column, run, done);
      else
        outside(k, run, done);
    }
  });
}

void gather(const Fit& fit, size_t level, size_t first, size_t count, float* const* inputs) {
  const size_t last = fit.levels[0].grid.axes - 1;
  for_contexts(
      fit, level, first, count,
      [&](size_t k, const Context& context, const Level& there, size_t row, size_t column,
          size_t run, size_t done) {
        const size_t width = there.grid.width;
        const float* const values = there.values + row * width;
        if (context.up)
          gather_coarser(values, width, column, run, context.up, context.offset[last],
                         inputs[k] + done);
        else
          gather_own(values, width, column, run, context.offset[last], inputs[k] + done);
      },
      [&](size_t k, size_t run, size_t done) {
        for (size_t at = 0; at < run; ++at) inputs[k][done + at] = 0;
      });
}

void scatter(const Fit& fit, size_t level, size_t first, size_t count, float* const* gradients) {
  const size_t last = fit.levels[0].grid.axes - 1;
  for_contexts(
      fit, level, first, count,
      [&](size_t k, const Context& context, const Level& there, size_t row, size_t column,
          size_t run, size_t done) {
        const size_t width = there.grid.width;
        float* const to = there.as_context + row * width;
        if (context.up)
          scatter_coarser(to, width, column, run, context.up, context.offset[last],
                          gradients[k] + done);
        else
          scatter_own(to, width, column, run, context.offset[last], gradients[k] + done);
      },
      [](size_t, size_t, size_t) {});
}

struct Code {
  Vector bits, by_value, by_scale;  // derivatives by the value and by log2 of the scale
};

// P = F(value - mean + 1/2) - F(value - mean - 1/2), F the Laplace distribution. Both cases are
// written so that nothing overflows or cancels, down to a scale of 2^-5.
inline Code laplace(Vector value, Vector mean, Vector log_scale) {
  const Vector scale = smaller(larger(log_scale, all(LEAST_SCALE)), all(MOST_SCALE));
  const Vector inverse = exp2_of(-scale), error = value - mean, distance = magnitude(error);
  // Both ends on one side of the mean: exp(-(distance - 1/2) / b) (1 - exp(-1 / b)) / 2.
  const Vector past = distance - 0.5f, mass = -expm1_of(-inverse);
  const Vector far_value = inverse * LOG2_E;
  const Vector far_scale = inverse * ((1.0f - mass) / mass - past);
  // The mean between the ends.
  const Vector inner = smaller(distance, all(0.5f));
  const Vector above = expm1_of((inner - 0.5f) * inverse);
  const Vector below = expm1_of((-inner - 0.5f) * inverse);
  const Vector between = -0.5f * (above + below);
  const Vector near_value = 0.5f * inverse * LOG2_E * (above - below) / between;
  const Vector near_scale = 0.5f * inverse / between *
                            ((0.5f - inner) * (above + 1.0f) + (0.5f + inner) * (below + 1.0f));

  const Ints near = distance < 0.5f;
  Code code;
  code.bits = (near ? Vector{} : past * far_value) - log2_of(near ? between : 0.5f * mass);
  code.bits = smaller(code.bits, all(MOST_BITS));
  code.by_value = near ? near_value : far_value;
  code.by_value = error < 0.0f ? -code.by_value : code.by_value;
  code.by_scale = near ? near_scale : far_scale;
  code.by_scale = scale == log_scale ? code.by_scale : Vector{};
  return code;
}

// Adds the bits of a block; leaves the gradient of the networks' outputs.
Vector code_block(const Fit& fit, const Level& level, size_t first, size_t count, size_t size,
                  const Rooms& rooms) {
  Vector bits = {};
  for (size_t at = 0; at < size; at += LANES) {
    const size_t valid = count > at ? count - at : 0;
    const size_t place = first + at;
    const Code code = laplace(first_of(load(level.values + place), valid),
                              load(rooms.outputs[0] + at), load(rooms.outputs[1] + at));
    bits += first_of(code.bits, valid);
    if (level.bits && valid) store_first(level.bits + place, code.bits, valid);
    if (fit.mode == HARD) continue;
    const Vector by_value = first_of(code.by_value * fit.rate, valid);
    store(rooms.output_gradients[0] + at, -by_value);
    store(rooms.output_gradients[1] + at, first_of(code.by_scale * fit.rate, valid));
    if (valid)
      store_first(level.gradient + place, load(level.gradient + place) + by_value, valid);
  }
  return bits;
}

}  // namespace

void rate(const Fit& fit, Scratch& scratch, size_t level, size_t first, size_t count) {
  const Network& net = fit.context_network;
  Rooms rooms;
  rooms_of(scratch, rooms);
  Vector bits = {};
  for (size_t end = first + count; first < end; first += BLOCK) {
    const size_t here = least(BLOCK, end - first), size = whole(here, TILE);
    gather(fit, level, first, here, rooms.inputs);
    forward(net, fit.parameters, rooms, true, size);
    bits += code_block(fit, fit.levels[level], first, here, size, rooms);
    if (fit.mode == HARD) continue;
    backward(net, fit.parameters, rooms, scratch.lanes, size);
    scatter(fit, level, first, here, rooms.input_gradients);
  }
  scratch.bits += sum(bits);
}

}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
