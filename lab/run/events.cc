#include "lab/run/events.h"

#include <nlohmann/json.hpp>

namespace lab {

Events::Events(const std::string& path)
    : stream_(path, std::ios::app), start_(std::chrono::steady_clock::now()) {}

void Events::add(const std::string& what, const std::string& about, const std::string& detail) {
  using Seconds = std::chrono::duration<double>;
  nlohmann::ordered_json line;
  line["at"] = Seconds(std::chrono::steady_clock::now() - start_).count();
  line["time"] = Seconds(std::chrono::system_clock::now().time_since_epoch()).count();
  line["what"] = what;
  line["about"] = about;
  if (!detail.empty()) line["detail"] = detail;
  stream_ << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
}

}  // namespace lab
