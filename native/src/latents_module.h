// Joins the module with the coder of latents.
#pragma once

#include <nanobind/nanobind.h>

namespace inrcodec {

void add_latents(nanobind::module_& m);

}  // namespace inrcodec
