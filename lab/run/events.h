// Events: the diary of a lab, one JSON object a line in its state directory.
#pragma once

#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>

#include "vpn/base/bytes.h"

namespace lab {

class Events {
 public:
  explicit Events(const std::string& path);
  // Adds {"at": seconds since the first event, "time": Unix seconds, "what": what, "about": about, "detail":
  // detail}.
  void add(const std::string& what, const std::string& about, const std::string& detail = {});

 private:
  std::ofstream stream_;
  std::chrono::steady_clock::time_point start_;
};

// Fates: what became of WireGuard's messages that a link did not simply carry, one JSON object a line:
// {"time": Unix seconds, "link", "what": see Wire::Teller, "message": its first bytes in hex, which tell it
// from others}.
class Fates {
 public:
  static constexpr uint64_t kMost = 20'000;    // lines; a flood is told by the counters
  static constexpr size_t kMessageBytes = 32;  // header and more, of every kind

  explicit Fates(const std::string& path) : stream_(path, std::ios::app) {}
  // Adds a line where the frame carries such a message, until there are kMost.
  void add(const std::string& link, const char* what, vpn::BytesView ethernet_frame);

 private:
  std::ofstream stream_;
  uint64_t count_ = 0;
};

}  // namespace lab
