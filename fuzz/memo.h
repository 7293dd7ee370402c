// Memo: the answers of a function that costs more than a look-up, for questions that come again in execution
// after execution.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "vpn/base/endian.h"

namespace vpn::fuzz {

// At most 64 bytes that are as good as random in [8, 16) and [40, 48), or all the same; the rest tells apart
// what they do not.
using Question = std::array<uint8_t, 72>;

// To be static: each question has its one place, and nothing is allocated, so that libFuzzer does not take
// what is remembered for a leak and go looking for it, nor give that up after a thousand times.
template <typename Answer>
class Memo {
 public:
  template <typename Compute>
  const Answer& remembered(const Question& question, Compute compute) {
    Entry& entry = entries_[place_of(question)];
    if (!entry.is_known || std::memcmp(entry.question.data(), question.data(), question.size()) != 0) {
      entry.answer = compute();
      entry.question = question;
      entry.is_known = true;
    }
    return entry.answer;
  }

 private:
  static constexpr size_t kPlaces = size_t{1} << 14;
  struct Entry {
    Question question{};
    bool is_known = false;
    Answer answer{};
  };

  static size_t place_of(const Question& question) noexcept {
    const auto first = load_le<uint64_t>(&question[8]);
    const auto second = load_le<uint64_t>(&question[40]);
    return static_cast<size_t>((first * 0x9e3779b97f4a7c15ULL ^ second) * 0xbf58476d1ce4e5b9ULL >> 40) %
           kPlaces;
  }

  std::array<Entry, kPlaces> entries_{};
};

}  // namespace vpn::fuzz
