// Events: the diary of a lab, one JSON object a line in its state directory.
#pragma once

#include <chrono>
#include <fstream>
#include <string>

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

}  // namespace lab
