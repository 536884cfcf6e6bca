#pragma once

#include <nanobind/nanobind.h>

namespace inrcodec {

// Adds the class PyramidFit to the extension.
void add_pyramid_fit(nanobind::module_& module);

}  // namespace inrcodec
