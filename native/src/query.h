// Joins a SIREN and many coordinates with values, on as many threads as asked.
#pragma once

#include <cstddef>
#include <vector>

#include "siren.h"

namespace inrcodec {

// Every kernel built that this CPU can run, the fastest first.
std::vector<const Kernel*> kernels();

// Coordinates [count, inputs], row by row.
struct Points {
  const float* coordinates;
  std::size_t count;
};

// Positions first, first + 1, ... of the lattice that `axes` span, the last axis running fastest.
struct Lattice {
  std::vector<const float*> axes;
  std::vector<std::size_t> sizes;
  std::size_t first, count;
};

// Writes values [count, outputs] to `out`; throws std::bad_alloc before it writes anything.
void query(const Kernel& kernel, const Siren& siren, const Points& points, float* out,
           std::size_t threads);
void query(const Kernel& kernel, const Siren& siren, const Lattice& lattice, float* out,
           std::size_t threads);

}  // namespace inrcodec
