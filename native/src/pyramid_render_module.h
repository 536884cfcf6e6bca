#pragma once

#include <nanobind/nanobind.h>

namespace inrcodec {

// Adds the function pyramid_values to the extension.
void add_pyramid_render(nanobind::module_& module);

}  // namespace inrcodec
