#include "lab/run/events.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vpn/sim/fate.h"

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

void Fates::add(const std::string& link, const char* what, vpn::BytesView ethernet_frame) {
  if (count_ == kMost || vpn::sim::classify_frame(ethernet_frame) == vpn::sim::MessageClass::kOther) return;
  const auto payload = vpn::sim::find_udp_payload(ethernet_frame);
  if (!payload) return;
  ++count_;
  using Seconds = std::chrono::duration<double>;
  nlohmann::ordered_json line;
  line["time"] = Seconds(std::chrono::system_clock::now().time_since_epoch()).count();
  line["link"] = link;
  line["what"] = what;
  std::string message;
  for (const uint8_t byte : ethernet_frame.subspan(payload->offset, std::min(payload->length, kMessageBytes)))
    message.append({"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]});
  line["message"] = message;
  stream_ << line.dump() << '\n' << std::flush;
}

}  // namespace lab
