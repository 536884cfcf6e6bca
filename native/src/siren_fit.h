// Joins a SIREN's parameters and points with its error and gradient, on as many threads as asked.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "pyramid_fit_threads.h"
#include "siren_fit_kernel.h"

namespace inrcodec {

// Every kernel built that this CPU can run.
std::vector<const FitKernel*> fit_kernels();

class SirenFit {
 public:
  // `shape` has no layers; `centre` is added to the outputs.
  SirenFit(const FitKernel& kernel, const Siren& shape, float omega_0, float centre,
           std::size_t threads);

  const Siren& shape() const { return shape_; }

  // Numbers in the layers from `first` on.
  std::size_t parameter_count(std::size_t first) const;

  // The mean squared error, values clamped to 0..1. `parameters` is a matrix [W | b] [out, in + 1]
  // per layer; `gradient` that of the layers from `first` on, as if nothing was clamped. The same
  // threads give the same bits. One call at a time, others wait.
  double step(const float* parameters, const float* coordinates, const float* targets,
              std::size_t count, std::size_t first, float* gradient);

 private:
  void unpack(const float* parameters, std::size_t first);
  bool wild(const float* coordinates, std::size_t count) const;
  std::size_t inputs_of(std::size_t layer) const { return layer ? shape_.width : shape_.inputs; }
  std::size_t units_of(std::size_t layer) const {
    return layer == shape_.depth ? shape_.outputs : shape_.width;
  }

  const FitKernel& kernel_;
  const Siren shape_;
  const float omega_0_, centre_;
  const std::size_t threads_;
  std::mutex mutex_;
  std::vector<float> layers_, turned_, rooms_, sums_;
  std::vector<double> totals_;
  pyramid::Crew crew_;
};

}  // namespace inrcodec
