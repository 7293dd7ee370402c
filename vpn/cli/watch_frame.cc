#include "vpn/cli/watch_frame.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "vpn/cli/drop_counts.h"
#include "vpn/cli/human_text.h"

namespace vpn::cli {
namespace {

constexpr std::chrono::seconds kFreshHandshake{180};  // REJECT_AFTER_TIME: with an older one nothing flows
constexpr size_t kMostDropLines = 6;

enum class Style : uint8_t { kPlain, kBold, kFaint, kRed };

struct Line {
  std::string text;
  Style style = Style::kPlain;
};
using FrameLines = std::vector<Line>;

std::string_view escape_of(Style style) noexcept {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "\x1b[1m";
    case Style::kFaint:
      return "\x1b[2m";
    case Style::kRed:
      return "\x1b[31m";
  }
  return "";
}

std::string clipped(const std::string& text, size_t width) {
  if (display_width(text) <= width) return text;
  if (width == 0) return "";
  std::string result;
  size_t columns = 0;
  for (const char character : text) {
    const bool starts = (static_cast<unsigned char>(character) & 0xc0) != 0x80;
    if (starts && ++columns == width) break;
    result += character;
  }
  return result + "…";
}

enum class Align : uint8_t { kLeft, kRight };

std::string padded(const std::string& text, size_t width, Align align) {
  const std::string cut = clipped(text, width);
  const std::string blanks(width - display_width(cut), ' ');
  return align == Align::kLeft ? cut + blanks : blanks + cut;
}

std::string join(std::initializer_list<std::string> parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (!part.empty()) text += (text.empty() ? "" : "  ") + part;
  }
  return text;
}

// Differences between two samples, as rates.
class Rates {
 public:
  Rates(const WatchSample* before, const WatchSample& now) {
    if (before == nullptr || now.taken <= before->taken) return;
    seconds_ = std::chrono::duration<double>(now.taken - before->taken).count();
    for (const auto& [name, report] : before->reports) before_[name] = &report;
  }

  [[nodiscard]] const config::DeviceReport* report_before(const std::string& name) const {
    const auto found = before_.find(name);
    return found != before_.end() ? found->second : nullptr;
  }
  [[nodiscard]] std::optional<uint64_t> per_second(std::optional<uint64_t> before, uint64_t now) const {
    if (!before || *before > now) return std::nullopt;
    return static_cast<uint64_t>(static_cast<double>(now - *before) / seconds_ + 0.5);
  }

 private:
  double seconds_ = 0;
  std::map<std::string, const config::DeviceReport*> before_;
};

std::string rate_text(std::optional<uint64_t> rate) {
  return rate ? bytes_text(*rate) + "/s" : "-";
}

struct Traffic {
  uint64_t received = 0, sent = 0;
};

Traffic traffic_of(const config::DeviceReport& report) {
  Traffic sum;
  for (const config::PeerReport& peer : report.peers) {
    sum.received += peer.received_bytes;
    sum.sent += peer.sent_bytes;
  }
  return sum;
}

struct Column {
  const char* title;
  size_t width;
  Align align;
};
constexpr Column kPeerColumns[] = {{"PEER", 16, Align::kLeft},     {"ENDPOINT", 21, Align::kLeft},
                                   {"HANDSHAKE", 9, Align::kLeft}, {"IN", 13, Align::kRight},
                                   {"OUT", 13, Align::kRight},     {"RECEIVED", 11, Align::kRight},
                                   {"SENT", 11, Align::kRight}};
constexpr Column kDropColumns[] = {{"DROPPED", 20, Align::kLeft},
                                   {"PACKETS", 12, Align::kRight},
                                   {"NOW", 10, Align::kRight},
                                   {"WHY", 0, Align::kLeft}};

template <size_t N>
std::string row(const Column (&columns)[N], const std::array<std::string, N>& cells) {
  std::string text;
  for (size_t i = 0; i < N; ++i) {
    if (i > 0) text += " ";
    text += columns[i].width == 0 ? cells[i] : padded(cells[i], columns[i].width, columns[i].align);
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

template <size_t N>
Line head(const Column (&columns)[N]) {
  std::array<std::string, N> titles;
  for (size_t i = 0; i < N; ++i) titles[i] = columns[i].title;
  return {row(columns, titles), Style::kBold};
}

Line peer_line(const config::PeerReport& peer, const config::PeerReport* before, const Rates& rates,
               int64_t unix_now) {
  const std::chrono::seconds age(unix_now - peer.last_handshake_seconds);
  const bool met = peer.last_handshake_seconds != 0;
  const auto rate = [&](uint64_t config::PeerReport::*count) {
    return rate_text(rates.per_second(before ? std::optional(before->*count) : std::nullopt, peer.*count));
  };
  return {row(kPeerColumns, {peer_label(peer), peer.endpoint ? peer.endpoint->to_string() : "-",
                             met ? short_duration_text(age) : "never",
                             rate(&config::PeerReport::received_bytes), rate(&config::PeerReport::sent_bytes),
                             bytes_text(peer.received_bytes), bytes_text(peer.sent_bytes)}),
          met && age < kFreshHandshake ? Style::kPlain : Style::kFaint};
}

FrameLines peer_lines(const config::DeviceReport& report, const config::DeviceReport* before,
                      const Rates& rates, int64_t unix_now, size_t most) {
  std::map<PublicKey, const config::PeerReport*> earlier;
  if (before != nullptr) {
    for (const config::PeerReport& peer : before->peers) earlier[peer.public_key] = &peer;
  }
  FrameLines lines;
  for (const config::PeerReport* peer : by_latest_handshake(report)) {
    if (lines.size() == most) break;
    const auto found = earlier.find(peer->public_key);
    lines.push_back(peer_line(*peer, found != earlier.end() ? found->second : nullptr, rates, unix_now));
  }
  if (const size_t left = report.peers.size() - lines.size(); left > 0) {
    lines.push_back({"… and " + count_text(left, "more peer"), Style::kFaint});
  }
  return lines;
}

FrameLines drop_lines(const config::DeviceReport& report, const config::DeviceReport* before,
                      const Rates& rates) {
  std::map<std::string, uint64_t> earlier;
  if (before != nullptr) {
    for (const DropCount& drop : drop_counts(*before)) earlier[drop.name] = drop.count;
  }
  FrameLines lines;
  for (const DropCount& drop : drop_counts(report)) {
    if (lines.size() == kMostDropLines) break;
    // What is new since the last sample counted nothing before it.
    const auto rate = rates.per_second(before ? std::optional(earlier[drop.name]) : std::nullopt, drop.count);
    lines.push_back(
        {row(kDropColumns, {printable(drop.name), std::to_string(drop.count),
                            rate ? std::to_string(*rate) + "/s" : "-", std::string(drop.meaning)}),
         rate.value_or(0) > 0 ? Style::kRed : Style::kPlain});
  }
  return lines;
}

FrameLines interface_lines(const std::string& name, const config::DeviceReport& report, const Rates& rates,
                           int64_t unix_now, size_t height) {
  const config::DeviceReport* before = rates.report_before(name);
  const Traffic now = traffic_of(report);
  const Traffic earlier = before ? traffic_of(*before) : Traffic{};
  const auto rate = [&](uint64_t Traffic::*count) {
    return rate_text(rates.per_second(before ? std::optional(earlier.*count) : std::nullopt, now.*count));
  };
  const auto offload = [](const char* what, const std::string& state) {
    return state.empty() ? std::string() : what + printable(state);
  };
  FrameLines lines;
  lines.push_back(
      {join({name, report.version.empty() ? "" : "vpn " + printable(report.version),
             "port " + std::to_string(report.listen_port), count_text(report.peers.size(), "peer"),
             offload("tun: ", report.tun_offload), offload("udp: ", report.udp_offload)}),
       Style::kBold});
  lines.push_back({join({"in " + rate(&Traffic::received), "out " + rate(&Traffic::sent),
                         "received " + bytes_text(now.received), "sent " + bytes_text(now.sent)})});
  const FrameLines drops = drop_lines(report, before, rates);
  if (!report.peers.empty()) {
    lines.push_back({});
    lines.push_back(head(kPeerColumns));
    const size_t others = lines.size() + (drops.empty() ? 0 : drops.size() + 2) + 1;  // 1: "… more peers"
    const size_t most = height == 0 ? report.peers.size() : std::max<size_t>(height, others + 1) - others;
    const FrameLines peers = peer_lines(report, before, rates, unix_now, most);
    lines.insert(lines.end(), peers.begin(), peers.end());
  }
  if (!drops.empty()) {
    lines.push_back({});
    lines.push_back(head(kDropColumns));
    lines.insert(lines.end(), drops.begin(), drops.end());
  }
  return lines;
}

}  // namespace

std::string watch_frame(const WatchSample* before, const WatchSample& now, const WatchView& view) {
  const Rates rates(before, now);
  const size_t share = view.height / std::max<size_t>(1, now.reports.size() + now.failures.size());
  FrameLines lines;
  for (const auto& [name, report] : now.reports) {
    if (!lines.empty()) lines.push_back({});
    const FrameLines more = interface_lines(name, report, rates, now.unix_seconds, share);
    lines.insert(lines.end(), more.begin(), more.end());
  }
  for (const Error& failure : now.failures) lines.push_back({failure.to_string(), Style::kRed});
  if (lines.empty()) lines.push_back({"no interface has a daemon; start one with 'vpn up'"});
  if (view.height > 0 && lines.size() > view.height) lines.resize(view.height);
  std::string frame;
  for (const Line& line : lines) {
    const bool style = view.styled && line.style != Style::kPlain;
    if (style) frame += escape_of(line.style);
    frame += clipped(line.text, view.width);
    if (style) frame += "\x1b[0m";
    frame += "\n";
  }
  return frame;
}

}  // namespace vpn::cli
