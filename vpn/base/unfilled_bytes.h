// UnfilledBytes: a buffer that is not filled with zeros, so that a page of it that nothing is written to
// takes no memory. What it holds before that is arbitrary: only what was written may be read.
#pragma once

#include <memory>

#include "vpn/base/bytes.h"

namespace vpn {

class UnfilledBytes {
 public:
  explicit UnfilledBytes(size_t size)
      : bytes_(std::make_unique_for_overwrite<uint8_t[]>(size)), size_(size) {}

  [[nodiscard]] uint8_t* data() noexcept { return bytes_.get(); }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] MutableBytes view() noexcept { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
  size_t size_;
};

}  // namespace vpn
