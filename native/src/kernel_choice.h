// Lists the kernels of a family, compiled once per instruction set, that this CPU runs.

#pragma once

#include <initializer_list>
#include <vector>

#ifdef HAVE_AVX512
#define FOR_AVX512(action) action(avx512)
#else
#define FOR_AVX512(action)
#endif
#ifdef HAVE_AVX2
#define FOR_AVX2(action) action(avx2)
#else
#define FOR_AVX2(action)
#endif

// Every namespace that was built, the best first.
#define FOR_EACH_BUILT(action) FOR_AVX512(action) FOR_AVX2(action) action(baseline)

namespace inrcodec {

template <typename Kernel>
std::vector<const Kernel*> available(std::initializer_list<const Kernel*> built) {
  std::vector<const Kernel*> found;
  for (const Kernel* kernel : built)
    if (kernel->available()) found.push_back(kernel);
  return found;
}

}  // namespace inrcodec
