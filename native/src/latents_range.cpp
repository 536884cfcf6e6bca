// Searches, escapes and ends: what the range coder does rarely.

#include "latents_range.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace inrcodec {

LatentTables::LatentTables(const std::int32_t* offsets, const std::int32_t* reaches,
                           const std::int32_t* cumulative, std::size_t size) {
  tables_.reserve(LATENT_TABLES);
  ends_.reserve(size);
  bits_.reserve(size);
  for (std::size_t number = 0; number < LATENT_TABLES; ++number) {
    const std::int32_t offset = offsets[number], reach = reaches[number];
    const auto refuse_unless = [number](bool held) {
      if (!held) throw std::invalid_argument("tables: number " + std::to_string(number));
    };
    refuse_unless(reach >= 0 && reach < 1 << 14 && offset >= 0);
    const std::uint64_t symbols = 2 * reach + 2;
    refuse_unless(static_cast<std::size_t>(offset) + symbols < size);
    const std::int32_t* sums = cumulative + offset;
    refuse_unless(sums[0] == 0 && sums[symbols] == 1 << 16);
    const std::size_t start = ends_.size();
    for (std::uint64_t symbol = 0; symbol <= symbols; ++symbol) {
      refuse_unless(symbol == 0 || sums[symbol] > sums[symbol - 1]);
      const std::uint64_t sum = sums[symbol];
      ends_.push_back((sum * ((1 << PRECISION) - symbols) >> 16) + symbol);
      bits_.push_back(symbol < symbols ? 16 - std::log2(sums[symbol + 1] - sums[symbol]) : 0);
    }
    const std::uint32_t* zero = ends_.data() + start + reach;
    tables_.push_back({zero[0], zero[1], static_cast<std::uint32_t>(start), reach});
  }
}

double LatentTables::bits(std::int32_t number, std::int64_t symbol) const {
  const LatentTable& table = tables_[number];
  const double* bits = bits_.data() + table.start;
  const std::int64_t magnitude = symbol < 0 ? -symbol : symbol;
  if (magnitude <= table.reach) return bits[symbol + table.reach];
  const std::uint64_t excess = magnitude - table.reach;
  return bits[2 * table.reach + 1] + 2 + 2 * (63 - __builtin_clzll(excess));
}

RangeDecoder::RangeDecoder(const LatentTables& tables, const unsigned char* bytes,
                           std::size_t size)
    : tables_(&tables), bytes_(bytes), size_(size) {
  if (size && bytes[size - 1] == 0) throw Damaged("superfluous zero byte at the end");
  ahead_ = std::uint64_t{word()} << 32;
  ahead_ |= word();
}

std::uint32_t RangeDecoder::last_word(std::size_t at) const {
  std::uint32_t word = 0;
  for (std::size_t byte = 0; byte < 4 && at + byte < size_; ++byte)
    word |= std::uint32_t{bytes_[at + byte]} << 8 * byte;
  return word;
}

void RangeDecoder::check() const {
  if (ahead_ >= (range_ >> PRECISION) << PRECISION) throw Damaged("symbols do not decode");
}

bool RangeDecoder::flag() {
  check();
  const std::uint64_t half = (range_ >> PRECISION) << (PRECISION - 1);
  const bool set = ahead_ >= half;
  if (set) ahead_ -= half;
  shrink(half);
  return set;
}

std::int64_t RangeDecoder::other_symbol(const LatentTable& table) {
  check();
  const std::uint64_t scale = range_ >> PRECISION;
  const std::uint32_t* ends = tables_->ends(table);
  // A few steps from 0 find most symbols; a search finds the others.
  constexpr std::size_t STEPS = 3;
  std::size_t low = 0, high = 2 * static_cast<std::size_t>(table.reach) + 2;
  if (ahead_ < scale * table.left) {
    high = table.reach;
    low = high > STEPS ? high - STEPS : 0;
    if (ahead_ >= scale * ends[low]) {
      while (ahead_ < scale * ends[high - 1]) --high;
      low = high - 1;
    } else {
      high = low;
      low = 0;
    }
  } else {
    low = table.reach + 1;
    const std::size_t near = std::min(low + STEPS, high);
    if (ahead_ < scale * ends[near]) {
      while (ahead_ >= scale * ends[low + 1]) ++low;
      high = low + 1;
    } else {
      low = near;
    }
  }
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    (ahead_ >= scale * ends[middle] ? low : high) = middle;
  }
  ahead_ -= scale * ends[low];
  shrink(scale * (ends[low + 1] - ends[low]));
  const std::int64_t symbol = static_cast<std::int64_t>(low) - table.reach;
  return symbol <= table.reach ? symbol : escaped(table.reach);
}

std::int64_t RangeDecoder::escaped(std::int32_t reach) {
  int length = 0;
  while (flag())
    if (++length > MAX_ESCAPE_BITS) throw Damaged("impossible escape code");
  std::int64_t excess = 1;
  while (length--) excess = excess << 1 | flag();
  const std::int64_t magnitude = reach + excess;
  if (magnitude > MAX_SYMBOL) throw Damaged("impossible escape code");
  return flag() ? -magnitude : magnitude;
}

void RangeDecoder::finish() const {
  const std::size_t stored = size_ / 4 + (size_ % 4 != 0);
  if (taken_ < stored || ahead_ >= (std::uint64_t{1} << 33) - 1) throw Damaged("bytes left over");
}

void RangeEncoder::add(std::uint64_t amount) {
  if (!__builtin_add_overflow(lower_, amount, &lower_)) return;
  for (std::size_t at = words_.size(); at-- > 0 && ++words_[at] == 0;) {
  }
}

void RangeEncoder::put(std::uint32_t left, std::uint32_t width) {
  const std::uint64_t scale = range_ >> PRECISION;
  add(scale * left);
  range_ = scale * width;
  if (range_ >> 32 == 0) {
    words_.push_back(lower_ >> 32);
    lower_ <<= 32;
    range_ <<= 32;
  }
}

void RangeEncoder::symbol(std::int32_t number, std::int64_t value) {
  const LatentTable& table = tables_[number];
  const std::int64_t magnitude = value < 0 ? -value : value;
  const std::uint32_t* ends = tables_.ends(table);
  const bool inside = magnitude <= table.reach;
  ends += inside ? value + table.reach : 2 * table.reach + 1;
  put(ends[0], ends[1] - ends[0]);
  if (inside) return;
  const std::uint64_t excess = magnitude - table.reach;
  const int length = 63 - __builtin_clzll(excess);
  for (int bit = 0; bit < length; ++bit) flag(true);
  flag(false);
  for (int bit = length; bit-- > 0;) flag(excess >> bit & 1);
  flag(value < 0);
}

std::vector<unsigned char> RangeEncoder::finish() {
  if (range_ != ~std::uint64_t{0}) {
    add(0xffffffff);
    words_.push_back(lower_ >> 32);
  }
  std::vector<unsigned char> bytes;
  bytes.reserve(4 * words_.size());
  for (const std::uint32_t word : words_)
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(word >> shift);
  while (!bytes.empty() && bytes.back() == 0) bytes.pop_back();
  return bytes;
}

}  // namespace inrcodec
