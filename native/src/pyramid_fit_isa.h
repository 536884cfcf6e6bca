// The kernels of the pyramid's fit for one instruction set; see the table in pyramid_fit_kernel.h.
#pragma once

#include "pyramid_fit_kernel.h"

namespace inrcodec {
namespace pyramid {
namespace KERNEL {

using std::size_t;

void upsample(const Fit&, Scratch&, size_t level, size_t stage, size_t first, size_t rows);
void upsample_back_last(const Fit&, Scratch&, size_t level, size_t stage, size_t first,
                        size_t rows);
void upsample_back_lead(const Fit&, size_t level, size_t stage, size_t first, size_t rows);
void synthesise(const Fit&, Scratch&, size_t first, size_t count);
void synthesise_back(const Fit&, Scratch&, size_t first, size_t count);
void residual(const Fit&, Scratch&, size_t index, size_t first, size_t rows);
void residual_back(const Fit&, Scratch&, size_t index, size_t first, size_t rows);
void loss(const Fit&, Scratch&, size_t first, size_t rows);
void rate(const Fit&, Scratch&, size_t level, size_t first, size_t count);

}  // namespace KERNEL
}  // namespace pyramid
}  // namespace inrcodec
