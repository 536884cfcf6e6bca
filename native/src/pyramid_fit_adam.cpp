// Moves latents along their gradients, those of finer levels as coarser ones allow.

#include <algorithm>

#include "pyramid_fit.h"

namespace inrcodec {
namespace pyramid {

namespace {

// Latents of a task: enough that handing it out costs nothing.
constexpr std::size_t SHARE = 16384;

// The row of the next coarser grid that covers a row.
std::size_t covering(const Grid& grid, const Grid& coarser, std::size_t row) {
  std::size_t above = 0, scale = 1;
  for (std::size_t axis = grid.axes - 1; axis-- > 0;) {
    above += (row % grid.sizes[axis] >> (axis >= grid.kept)) * scale;
    scale *= coarser.sizes[axis];
    row /= grid.sizes[axis];
  }
  return above;
}

}  // namespace

void PyramidFit::adam(const Moments& moments, const float* rates) {
  for (std::size_t level = fit_.level_count; level-- > 0;) {
    const Level& own = fit_.levels[level];
    const bool damped = level + 1 < fit_.level_count && rates[6] > 0;
    const std::size_t width = own.grid.width;
    const std::size_t length = std::max<std::size_t>(1, SHARE / width);
    crew_.share((own.grid.rows + length - 1) / length, [&](std::size_t task, std::size_t) {
      const std::size_t end = std::min(own.grid.rows, (task + 1) * length);
      for (std::size_t row = task * length; row < end; ++row) {
        const std::size_t at = row * width;
        const float* coarser = nullptr;
        if (damped) {
          const Level& above = fit_.levels[level + 1];
          coarser = above.as_context + covering(own.grid, above.grid, row) * above.grid.width;
        }
        // Between two steps nothing else is kept in `as_context`.
        kernel_.adam(moments.latents[level] + at, moments.gradients[level] + at,
                     moments.means[level] + at, moments.squares[level] + at, coarser,
                     own.as_context + at, width, rates);
      }
    });
  }
}

}  // namespace pyramid
}  // namespace inrcodec
