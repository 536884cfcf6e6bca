// Takes points through a SIREN and the gradient of their squared error back; compiled once per
// instruction set, as KERNEL.

#include "siren_fit_kernel.h"

#include "siren_fit_outer.h"

namespace inrcodec {
namespace KERNEL {
namespace {

inline size_t inputs_of(const Siren& siren, size_t layer) {
  return layer ? siren.width : siren.inputs;
}
inline size_t units_of(const Siren& siren, size_t layer) {
  return layer == siren.depth ? siren.outputs : siren.width;
}

// Where a group's arrays lie, each [GROUP][units][BLOCK], but for the spare block.
struct Rooms {
  float *coordinates, *targets, *errors, *spare, *layers;
};

inline size_t widest(const Siren& siren) {
  const size_t ends = siren.inputs > siren.outputs ? siren.inputs : siren.outputs;
  return siren.depth && siren.width > ends ? siren.width : ends;
}

size_t room(const FitNet& net) {
  const Siren& siren = net.siren;
  const size_t kept = siren.inputs + 2 * siren.outputs + 2 * siren.depth * siren.width;
  return (GROUP * kept + widest(siren)) * BLOCK;
}

Rooms rooms_of(const Siren& siren, float* at) {
  Rooms rooms{at, nullptr, nullptr, nullptr, nullptr};
  rooms.targets = rooms.coordinates + GROUP * siren.inputs * BLOCK;
  rooms.errors = rooms.targets + GROUP * siren.outputs * BLOCK;
  rooms.spare = rooms.errors + GROUP * siren.outputs * BLOCK;
  rooms.layers = rooms.spare + widest(siren) * BLOCK;
  return rooms;
}

// Sines of a layer, and their slopes, which become gradients.
inline float* sines(const Rooms& rooms, const Siren& siren, size_t layer, size_t block) {
  return rooms.layers + (2 * layer * GROUP + block) * siren.width * BLOCK;
}
inline float* slopes(const Rooms& rooms, const Siren& siren, size_t layer, size_t block) {
  return sines(rooms, siren, layer, block) + GROUP * siren.width * BLOCK;
}

inline Rows inputs_at(const Rooms& rooms, const Siren& siren, size_t layer) {
  return layer ? Rows{sines(rooms, siren, layer - 1, 0), siren.width * BLOCK}
               : Rows{rooms.coordinates, siren.inputs * BLOCK};
}
inline Rows gradients_at(const Rooms& rooms, const Siren& siren, size_t layer) {
  return layer == siren.depth ? Rows{rooms.errors, siren.outputs * BLOCK}
                              : Rows{slopes(rooms, siren, layer, 0), siren.width * BLOCK};
}

// Rows [count, units] as units of a block; what is left of the block becomes zero.
void turn(const float* from, size_t count, size_t units, float* block) {
  for (size_t point = 0; point < BLOCK; ++point)
    for (size_t unit = 0; unit < units; ++unit)
      block[unit * BLOCK + point] = point < count ? *from++ : 0.0f;
}

// `slopes` may be null.
void sine_layer(const float* in, size_t count, bool wild, float* sines, float* slopes) {
  if (wild) {
    for (size_t at = 0; at < count; ++at) {
      sines[at] = __builtin_sinf(in[at]);
      if (slopes) slopes[at] = __builtin_cosf(in[at]);
    }
    return;
  }
  for (size_t at = 0; at < count; at += LANES) {
    const Reduced angle = reduce(load(in + at));
    const Vector square = angle.rest * angle.rest;
    store(sines + at, sine(angle, square));
    if (slopes) store(slopes + at, cosine(angle, square));
  }
}

// Gradients of the values, clamped to 0..1 straight through; returns the squared errors' sum. A
// value that is no number stays none.
double error_of(const float* values, const float* targets, size_t count, size_t outputs,
                float slope, float* errors) {
  double total = 0;
  for (size_t unit = 0; unit < outputs; ++unit) {
    Vector squares = {};
    for (size_t at = unit * BLOCK; at < (unit + 1) * BLOCK; at += LANES) {
      Vector value = load(values + at);
      value = value < 0.0f ? Vector{} : value;
      value = value > 1.0f ? Vector{} + 1.0f : value;
      Vector error = value - load(targets + at);
      for (size_t lane = 0; lane < LANES && count < BLOCK; ++lane)
        if (at - unit * BLOCK + lane >= count) error[lane] = 0.0f;
      squares += error * error;
      store(errors + at, error * slope);
    }
    for (size_t lane = 0; lane < LANES; ++lane) total += squares[lane];
  }
  return total;
}

double forward(const FitNet& net, const FitPoints& points, const Rooms& rooms, size_t block) {
  const Siren& siren = net.siren;
  const size_t first = block * BLOCK;
  const size_t count = points.count - first < BLOCK ? points.count - first : BLOCK;
  float* const coordinates = rooms.coordinates + block * siren.inputs * BLOCK;
  float* const targets = rooms.targets + block * siren.outputs * BLOCK;
  turn(points.coordinates + first * siren.inputs, count, siren.inputs, coordinates);
  turn(points.targets + first * siren.outputs, count, siren.outputs, targets);
  const float *in = coordinates, *layer = siren.layers;
  for (size_t index = 0; index <= siren.depth; ++index) {
    const size_t fan_in = inputs_of(siren, index), units = units_of(siren, index);
    affine(in, fan_in, layer, units, rooms.spare);
    layer += units * (fan_in + 1);
    if (index == siren.depth) break;
    float* const out = sines(rooms, siren, index, block);
    float* const slope = index < net.first ? nullptr : slopes(rooms, siren, index, block);
    sine_layer(rooms.spare, units * BLOCK, net.wild, out, slope);
    in = out;
  }
  return error_of(rooms.spare, targets, count, siren.outputs, points.slope,
                  rooms.errors + block * siren.outputs * BLOCK);
}

// Takes the gradients of layer `index` to those of the one before.
void backward(const FitNet& net, const Rooms& rooms, size_t blocks, size_t index,
              const float* turned) {
  const Siren& siren = net.siren;
  const size_t count = siren.width * BLOCK;
  const Rows from = gradients_at(rooms, siren, index);
  for (size_t block = 0; block < blocks; ++block) {
    affine(from.start + block * from.stride, units_of(siren, index), turned, siren.width,
           rooms.spare);
    float* const to = slopes(rooms, siren, index - 1, block);
    for (size_t at = 0; at < count; at += LANES)
      store(to + at, load(to + at) * load(rooms.spare + at));
  }
}

size_t sum_count(const FitNet& net) {
  size_t count = 0;
  for (size_t index = net.first; index <= net.siren.depth; ++index) {
    const size_t units = units_of(net.siren, index);
    count += whole(units) + for_tiles(units, inputs_of(net.siren, index), [](auto...) {});
  }
  return count;
}

double descend(const FitNet& net, const FitPoints& points, float* room, float* sums) {
  const Siren& siren = net.siren;
  const Rooms rooms = rooms_of(siren, room);
  double total = 0;
  for (size_t first = 0; first < points.count; first += GROUP * BLOCK) {
    const FitPoints some{points.coordinates + first * siren.inputs,
                         points.targets + first * siren.outputs, points.count - first,
                         points.slope};
    const size_t left = (some.count + BLOCK - 1) / BLOCK, blocks = left < GROUP ? left : GROUP;
    for (size_t block = 0; block < blocks; ++block) total += forward(net, some, rooms, block);
    const float* turned = net.turned;
    float* own = sums;
    for (size_t index = siren.depth + 1; index-- > net.first;) {
      const size_t units = units_of(siren, index), fan_in = inputs_of(siren, index);
      const Rows gradient = gradients_at(rooms, siren, index);
      bias_sums(gradient, units, blocks, own);
      own += whole(units);
      own += outer(gradient, units, inputs_at(rooms, siren, index), fan_in, blocks, own);
      if (index == net.first) break;
      backward(net, rooms, blocks, index, turned);
      turned += siren.width * (units + 1);
    }
  }
  return total;
}

void arrange(const FitNet& net, const double* sums, float* end) {
  const Siren& siren = net.siren;
  for (size_t index = siren.depth + 1; index-- > net.first;) {
    const size_t units = units_of(siren, index), fan_in = inputs_of(siren, index);
    float* const gradient = end -= units * (fan_in + 1);
    for (size_t unit = 0; unit < units; ++unit)
      gradient[unit * (fan_in + 1) + fan_in] = static_cast<float>(sums[unit]);
    sums += whole(units);
    sums += for_tiles(units, fan_in, [&](size_t unit, size_t height, size_t k, size_t width,
                                         size_t place) {
      for (size_t u = 0; u < height; ++u)
        for (size_t i = 0; i < width; ++i)
          gradient[(unit + u) * (fan_in + 1) + k + i] =
              static_cast<float>(sums[place + u * width + i]);
    });
  }
}

}  // namespace

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
extern const FitKernel fit_kernel;
const FitKernel fit_kernel = {TEXT(KERNEL), available, room, sum_count, descend, arrange};

}  // namespace KERNEL
}  // namespace inrcodec
