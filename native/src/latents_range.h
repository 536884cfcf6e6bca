// Joins symbols with 32-bit words: constriction's range coder (bitstream_spec.md, section 7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "latents.h"

namespace inrcodec {

constexpr int PRECISION = 24;

// Exp-Golomb prefixes are at most this long, and magnitudes of symbols at most this large.
constexpr int MAX_ESCAPE_BITS = 30;
constexpr std::int64_t MAX_SYMBOL = 0x7fffffff;

// What was read cannot have been written.
struct Damaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Ends of the intervals of the symbols -reach..reach and escape, from ends[start] on. The interval
// of symbol 0, the most frequent, is here.
struct LatentTable {
  std::uint32_t left, right, start;
  std::int32_t reach;
};

class LatentTables {
 public:
  // Table i has cumulative frequencies 0..2^16 in cumulative[offsets[i]..]; throws
  // std::invalid_argument where it has not.
  LatentTables(const std::int32_t* offsets, const std::int32_t* reaches,
               const std::int32_t* cumulative, std::size_t size);

  const LatentTable& operator[](std::int32_t number) const { return tables_[number]; }
  const std::uint32_t* ends(const LatentTable& table) const { return ends_.data() + table.start; }
  // Bits of a symbol by its frequency, escape bits included.
  double bits(std::int32_t number, std::int64_t symbol) const;

 private:
  std::vector<LatentTable> tables_;
  std::vector<std::uint32_t> ends_;
  // Beside the left end of every symbol.
  std::vector<double> bits_;
};

class RangeDecoder {
 public:
  RangeDecoder(const LatentTables& tables, const unsigned char* bytes, std::size_t size);

  bool flag();
  // The next symbol of table `number`.
  std::int64_t symbol(std::int32_t number) {
    const LatentTable& table = (*tables_)[number];
    const std::uint64_t scale = range_ >> PRECISION;
    const std::uint64_t left = scale * table.left, width = scale * table.right - left;
    if (ahead_ - left >= width) return other_symbol(table);
    ahead_ -= left;
    shrink(width);
    return 0;
  }
  // Throws Damaged unless every byte was used.
  void finish() const;

 private:
  std::int64_t other_symbol(const LatentTable& table);
  std::int64_t escaped(std::int32_t reach);
  void check() const;
  void shrink(std::uint64_t width) {
    range_ = width;
    if (width >> 32 == 0) {
      range_ = width << 32;
      ahead_ = ahead_ << 32 | word();
    }
  }
  std::uint32_t word() {
    const std::size_t at = 4 * taken_++;
    if (at + 4 > size_) return last_word(at);
    return bytes_[at] | bytes_[at + 1] << 8 | bytes_[at + 2] << 16 |
           std::uint32_t{bytes_[at + 3]} << 24;
  }
  std::uint32_t last_word(std::size_t at) const;

  const LatentTables* tables_;
  const unsigned char* bytes_;
  std::size_t size_, taken_ = 0;
  // Point - lower of the specification: no more of the two is needed.
  std::uint64_t ahead_, range_ = ~std::uint64_t{0};
};

class RangeEncoder {
 public:
  explicit RangeEncoder(const LatentTables& tables) : tables_(tables) {}

  void flag(bool set) { put(set << (PRECISION - 1), 1 << (PRECISION - 1)); }
  void symbol(std::int32_t number, std::int64_t value);
  // Little-endian words without the zero bytes at the end.
  std::vector<unsigned char> finish();

 private:
  void put(std::uint32_t left, std::uint32_t width);
  void add(std::uint64_t amount);

  const LatentTables& tables_;
  std::vector<std::uint32_t> words_;
  std::uint64_t lower_ = 0, range_ = ~std::uint64_t{0};
};

}  // namespace inrcodec
