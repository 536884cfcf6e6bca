#pragma once

#include <nanobind/nanobind.h>

namespace inrcodec {

// Adds the class SirenFit to the extension.
void add_siren_fit(nanobind::module_& module);

}  // namespace inrcodec
