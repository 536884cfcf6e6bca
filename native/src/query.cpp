// Hands out blocks of points to threads, and brings them into the order of a kernel and back.

#include "query.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>

#include "kernel_choice.h"

namespace inrcodec {

#define DECLARE(name)          \
  namespace name {             \
  extern const Kernel kernel;  \
  }
FOR_EACH_BUILT(DECLARE)
#undef DECLARE

std::vector<const Kernel*> kernels() {
#define ADDRESS(name) &name::kernel,
  return available<Kernel>({FOR_EACH_BUILT(ADDRESS)});
#undef ADDRESS
}

namespace {

// Blocks that a thread takes at once: long enough that taking costs nothing, short enough that the
// threads end together.
constexpr std::size_t SHARE = 16;

// Two buffers of a kernel.
class Scratch {
 public:
  explicit Scratch(std::size_t units)
      : floats_(2 * units * BLOCK + ALIGNMENT / sizeof(float)), units_(units) {}

  float* values() {
    const auto address = reinterpret_cast<std::uintptr_t>(floats_.data());
    return floats_.data() + (ALIGNMENT - address % ALIGNMENT) % ALIGNMENT / sizeof(float);
  }
  float* spare() { return values() + units_ * BLOCK; }

 private:
  std::vector<float> floats_;
  std::size_t units_;
};

void load(const Points& points, std::size_t inputs, std::size_t first, std::size_t count,
          float* block) {
  const float* from = points.coordinates + first * inputs;
  for (std::size_t point = 0; point < count; ++point)
    for (std::size_t axis = 0; axis < inputs; ++axis) block[axis * BLOCK + point] = *from++;
}

void load(const Lattice& lattice, std::size_t inputs, std::size_t first, std::size_t count,
          float* block) {
  for (std::size_t point = 0; point < count;) {
    std::size_t place = lattice.first + first + point;
    const std::size_t last = inputs - 1;
    const std::size_t start = place % lattice.sizes[last];
    const std::size_t run = std::min(count - point, lattice.sizes[last] - start);
    std::copy_n(lattice.axes[last] + start, run, block + last * BLOCK + point);
    place /= lattice.sizes[last];
    for (std::size_t axis = last; axis-- > 0; place /= lattice.sizes[axis]) {
      const float coordinate = lattice.axes[axis][place % lattice.sizes[axis]];
      std::fill_n(block + axis * BLOCK + point, run, coordinate);
    }
    point += run;
  }
}

template <typename Source>
void query_blocks(const Kernel& kernel, const Siren& siren, const Source& source, float* out,
                  std::size_t threads) {
  const std::size_t blocks = source.count / BLOCK + (source.count % BLOCK != 0);
  const std::size_t shares = blocks / SHARE + (blocks % SHARE != 0);
  const std::size_t units = std::max({siren.inputs, siren.outputs, siren.depth ? siren.width : 0});
  threads = std::max<std::size_t>(1, std::min(threads, shares));
  std::vector<Scratch> scratch(threads, Scratch(units));
  std::vector<std::thread> helpers;
  helpers.reserve(threads - 1);

  std::atomic<std::size_t> next{0};
  const auto work = [&](Scratch& own) noexcept {
    for (std::size_t share; (share = next.fetch_add(1, std::memory_order_relaxed)) < shares;) {
      const std::size_t end = std::min(source.count, (share + 1) * SHARE * BLOCK);
      for (std::size_t first = share * SHARE * BLOCK; first < end; first += BLOCK) {
        // A block that is not full keeps what the one before left: lanes do not see each other.
        const std::size_t count = std::min(BLOCK, end - first);
        load(source, siren.inputs, first, count, own.values());
        const float* values = kernel.evaluate(siren, own.values(), own.spare());
        float* to = out + first * siren.outputs;
        for (std::size_t point = 0; point < count; ++point)
          for (std::size_t unit = 0; unit < siren.outputs; ++unit)
            *to++ = values[unit * BLOCK + point];
      }
    }
  };
  try {
    for (std::size_t helper = 1; helper < threads; ++helper)
      helpers.emplace_back(work, std::ref(scratch[helper]));
  } catch (const std::system_error&) {
    // No more threads are to be had: those that started do the work.
  }
  work(scratch[0]);
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace

void query(const Kernel& kernel, const Siren& siren, const Points& points, float* out,
           std::size_t threads) {
  query_blocks(kernel, siren, points, out, threads);
}

void query(const Kernel& kernel, const Siren& siren, const Lattice& lattice, float* out,
           std::size_t threads) {
  query_blocks(kernel, siren, lattice, out, threads);
}

}  // namespace inrcodec
