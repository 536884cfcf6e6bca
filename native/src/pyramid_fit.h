// A picture and the planes that a step of its fit works on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "pyramid_fit_kernel.h"
#include "pyramid_fit_threads.h"

namespace inrcodec {
namespace pyramid {

// A PyramidSpec, and where its contexts lie.
struct Shape {
  std::vector<std::size_t> lattice;
  std::size_t kept, outputs, levels, residuals;
  std::vector<std::size_t> contexts, synthesis;
  std::vector<Context> context_places;
};

// Zeros, aligned, with SLACK before and after.
class Plane {
 public:
  explicit Plane(std::size_t count = 0);
  float* start() { return start_; }

 private:
  std::vector<float> floats_;
  float* start_;
};

// What a step is asked for, and where its results go; all but `parameters` by level.
struct Request {
  Mode mode;
  const float* parameters;
  std::vector<const float*> latents;
  std::vector<float*> slopes, bits;
  float rate, temperature, noise;
  std::uint32_t seed;
  float peak;
  float* render;
  // Called when there is a render, if given; leaves in `render_slopes`, [*lattice, outputs], what
  // the gradient of the mean square error gives way to.
  std::function<void()> distortion;
  const float* render_slopes;
};

struct Answer {
  double mse, coded_mse;
  std::vector<double> bits;        // by level
  std::vector<double> parameters;  // gradient, but of HARD
};

// What Adam works on, by level.
struct Moments {
  std::vector<float*> latents;
  std::vector<const float*> gradients;
  std::vector<float*> means, squares;
};

class PyramidFit {
 public:
  // `target` is [*lattice, outputs]. The sizes of the shape are those that pyramid_fit_kernel.h
  // has room for.
  PyramidFit(const Kernel& kernel, const Shape& shape, const float* target, std::size_t threads);

  std::size_t parameter_count() const { return fit_.parameter_count; }
  std::size_t level_count() const { return fit_.level_count; }
  std::size_t latent_count(std::size_t level) const { return fit_.levels[level].grid.count; }
  std::size_t position_count() const { return fit_.levels[0].grid.count; }
  std::size_t outputs() const { return fit_.outputs; }

  Answer step(const Request& request);

  // The update of all latents by Adam; `rates` as the kernel takes them.
  void adam(const Moments& moments, const float* rates);

 private:
  struct Piece {
    std::size_t level, first, count;
  };
  using Pieces = std::vector<Piece>;

  float* plane(std::size_t count);
  Image image();
  std::size_t band() const;
  void lay_out_parameters(const Shape& shape);
  void plan();
  void each(const Pieces& pieces, const std::function<void(const Piece&, Scratch&)>& work);
  void flush(Scratch& scratch, std::size_t first, std::size_t count);
  void distort();
  void replace_slopes(const float* render_slopes);
  void distort_back();
  void code(std::vector<double>& bits);

  const Kernel& kernel_;
  Fit fit_{};
  std::vector<Plane> planes_;
  std::vector<Scratch> scratch_;
  std::vector<std::vector<double>> sums_;
  std::size_t synthesis_first_, synthesis_count_, context_count_, residual_first_, residual_count_;

  Pieces latents_, blocks_, rows_;
  std::vector<Pieces> outputs_, inputs_;        // rows of every stage, of all its levels
  std::vector<Pieces> even_bands_, odd_bands_;  // of latents, by level
  Crew crew_;
};

}  // namespace pyramid
}  // namespace inrcodec
