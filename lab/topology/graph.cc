#include "lab/topology/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>

#include "lab/svg.h"

namespace lab {
namespace {

struct Point {
  double x = 0;
  double y = 0;
};

constexpr double kMargin = 24;
constexpr double kHeadHeight = 30;  // of the title, and of each line of the legend 18
constexpr double kLegendHeight = 18;
constexpr double kLineHeight = 16;
constexpr double kBoxPadding = 10;
constexpr double kRowGap = 26;
constexpr double kLeastColumnGap = 110;
constexpr double kLetterWidth = 6.7;  // of 12 px sans-serif, on the wide side
constexpr double kParallelBend = 90;
constexpr double kTunnelBend = 60;
constexpr std::array<const char*, 5> kTunnelColours = {"#2a7f4f", "#b5651d", "#6a4fb3", "#b0305a", "#1f6fa8"};

constexpr const char* kStyles =
    "text{font:12px sans-serif;fill:#222} .title{font-size:15px;font-weight:bold} .name{font-weight:bold} "
    ".note{fill:#666} .halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round} "
    ".link{fill:none;stroke:#445;stroke-width:2} .box{fill:#eef4ff;stroke:#335} "
    ".router{fill:#fff6e5;stroke:#863} .switch{fill:#f2f2f2;stroke:#666} "
    ".tunnel{fill:none;stroke-width:2;stroke-dasharray:6 4}";

struct TextLine {
  std::string text;
  std::string style;
};

// A host or a switch as it is drawn.
struct Box {
  std::string name;
  std::string style;
  std::vector<TextLine> lines;
  size_t column = 0;
  Point middle;

  [[nodiscard]] double width() const {
    size_t longest = 12;
    for (const TextLine& line : lines) longest = std::max(longest, line.text.size());
    return static_cast<double>(longest) * kLetterWidth + 2 * kBoxPadding;
  }
  [[nodiscard]] double height() const {
    return static_cast<double>(lines.size()) * kLineHeight + 2 * kBoxPadding;
  }
  [[nodiscard]] double left() const { return middle.x - width() / 2; }
  [[nodiscard]] double right() const { return middle.x + width() / 2; }
  [[nodiscard]] double top() const { return middle.y - height() / 2; }
};

std::string joined(const std::vector<IpPrefix>& prefixes) {
  std::string text;
  for (const IpPrefix& prefix : prefixes) text += (text.empty() ? "" : ", ") + prefix.to_string();
  return text;
}

// Of a tunnel's styles: "line0", "text0" and so on.
std::string colour_of(size_t tunnel) {
  return std::to_string(tunnel % kTunnelColours.size());
}

std::string styles() {
  std::string text = kStyles;
  for (size_t i = 0; i < kTunnelColours.size(); ++i) {
    text += fmt::format(" .line{0}{{stroke:{1}}} .text{0}{{fill:{1}}}", i, kTunnelColours[i]);
  }
  return text;
}

// What is written into a host: what it is, its addresses link by link, and those inside its tunnels.
Box box_of(const Topology& topology, const Host& host) {
  Box box{host.name, host.nat || host.forward ? "router" : "box", {{host.name, "name"}}, 0, {}};
  std::string role = host.nat       ? fmt::format("NAT, {}", to_string(host.nat->kind))
                     : host.forward ? "router"
                                    : "";
  for (const Service& service : topology.services) {
    if (service.host == host.name) role += (role.empty() ? "" : ", ") + service.name;
  }
  if (!role.empty()) box.lines.push_back({role, "note"});
  for (const Link& link : topology.links) {
    for (const LinkEnd& end : link.ends) {
      if (end.node != host.name) continue;
      for (const IpPrefix& address : end.addresses) {
        box.lines.push_back({end.interface + "  " + address.to_string(), ""});
      }
    }
  }
  for (size_t i = 0; i < topology.tunnels.size(); ++i) {
    for (const TunnelMember& member : topology.tunnels[i].members) {
      if (member.host != host.name) continue;
      for (const IpPrefix& address : member.addresses) {
        box.lines.push_back(
            {topology.tunnels[i].interface + "  " + address.to_string(), "text" + colour_of(i)});
      }
    }
  }
  return box;
}

class Drawing {
 public:
  explicit Drawing(const Topology& topology) : topology_(topology) {
    for (const Host& host : topology.hosts) boxes_.push_back(box_of(topology, host));
    for (const Switch& one : topology.switches) {
      boxes_.push_back({one.name, "switch", {{one.name, "name"}, {joined(one.subnets), "note"}}, 0, {}});
    }
    for (size_t i = 0; i < boxes_.size(); ++i) numbers_[boxes_[i].name] = i;
    neighbours_.resize(boxes_.size());
    for (const Link& link : topology.links) {
      const size_t a = numbers_.at(link.ends[0].node);
      const size_t b = numbers_.at(link.ends[1].node);
      neighbours_[a].push_back(b);
      neighbours_[b].push_back(a);
    }
    assign_columns();
    place_rows();
    place_columns();
  }

  [[nodiscard]] std::string svg() {
    std::string body = links() + tunnels() + labels_ + boxes();
    std::string head = svg_text(kMargin, kMargin + 4, "title", topology_.about);
    double y = kMargin + kHeadHeight;
    for (size_t i = 0; i < topology_.tunnels.size(); ++i) {
      const Tunnel& tunnel = topology_.tunnels[i];
      head += fmt::format("<path class=\"tunnel line{}\" d=\"M{:.0f},{:.0f} h36\"/>\n", colour_of(i), kMargin,
                          y - 4);
      head += svg_text(
          kMargin + 44, y, "",
          fmt::format("tunnel {} ({}), {} members", tunnel.name, tunnel.kind, tunnel.members.size()));
      y += kLegendHeight;
    }
    const double wide = std::max(high_.x - low_.x, static_cast<double>(topology_.about.size()) * 9);
    return svg_document(wide + 2 * kMargin, high_.y - low_.y + y + kMargin, topology_.about, styles(),
                        head + fmt::format("<g transform=\"translate({:.0f},{:.0f})\">\n{}</g>\n",
                                           kMargin - low_.x, y - low_.y, body));
  }

 private:
  static constexpr size_t kNowhere = std::numeric_limits<size_t>::max();

  // How many links away every node is.
  [[nodiscard]] std::vector<size_t> distances_from(size_t start) const {
    std::vector<size_t> distances(boxes_.size(), kNowhere);
    std::vector<size_t> queue = {start};
    distances[start] = 0;
    for (size_t next = 0; next < queue.size(); ++next) {
      for (const size_t one : neighbours_[queue[next]]) {
        if (distances[one] != kNowhere) continue;
        distances[one] = distances[queue[next]] + 1;
        queue.push_back(one);
      }
    }
    return distances;
  }

  // From left to right, by the distance from an end of the longest way: a chain is a row, a star two columns
  // around its middle. What hangs together is laid out by itself.
  void assign_columns() {
    std::vector<bool> done(boxes_.size(), false);
    for (size_t first = 0; first < boxes_.size(); ++first) {
      if (done[first]) continue;
      const auto together = distances_from(first);
      std::vector<size_t> best;
      size_t longest = 0;
      for (size_t i = 0; i < boxes_.size(); ++i) {
        if (together[i] == kNowhere) continue;
        auto distances = distances_from(i);
        size_t farthest = 0;
        for (const size_t distance : distances)
          farthest = distance == kNowhere ? farthest : std::max(farthest, distance);
        if (!best.empty() && farthest <= longest) continue;
        longest = farthest;
        best = std::move(distances);
      }
      for (size_t i = 0; i < boxes_.size(); ++i) {
        if (best[i] == kNowhere) continue;
        done[i] = true;
        boxes_[i].column = best[i];
        columns_.resize(std::max(columns_.size(), best[i] + 1));
        columns_[best[i]].push_back(i);
      }
    }
  }

  // Where a node would like to be: in the middle of those it is linked with in the column before.
  [[nodiscard]] double wish(size_t node) const {
    double sum = 0;
    size_t count = 0;
    for (const size_t other : neighbours_[node]) {
      if (boxes_[other].column + 1 != boxes_[node].column) continue;
      sum += boxes_[other].middle.y;
      ++count;
    }
    return count == 0 ? 0 : sum / static_cast<double>(count);
  }

  void place_rows() {
    for (std::vector<size_t>& column : columns_) {
      std::stable_sort(column.begin(), column.end(),
                       [this](size_t a, size_t b) { return wish(a) < wish(b); });
      double y = 0;
      double off = 0;
      for (const size_t node : column) {
        Box& box = boxes_[node];
        box.middle.y = y + box.height() / 2;
        off += wish(node) - box.middle.y;
        y += box.height() + kRowGap;
      }
      for (const size_t node : column) boxes_[node].middle.y += off / static_cast<double>(column.size());
    }
  }

  void place_columns() {
    double x = 0;
    for (size_t i = 0; i < columns_.size(); ++i) {
      double widest = 0;
      for (const size_t node : columns_[i]) widest = std::max(widest, boxes_[node].width());
      for (const size_t node : columns_[i]) {
        Box& box = boxes_[node];
        box.middle.x = x + widest / 2;
        include({box.left(), box.top()});
        include({box.right(), box.top() + box.height()});
      }
      x += widest + gap_after(i);
    }
  }

  // Wide enough for what is written on the links.
  [[nodiscard]] double gap_after(size_t column) const {
    double gap = kLeastColumnGap;
    for (const Link& link : topology_.links) {
      const size_t a = boxes_[numbers_.at(link.ends[0].node)].column;
      const size_t b = boxes_[numbers_.at(link.ends[1].node)].column;
      if (std::min(a, b) != column) continue;
      for (const std::string& line : label_of(link)) {
        gap = std::max(gap, static_cast<double>(line.size()) * kLetterWidth + 40);
      }
    }
    return gap;
  }

  // The name, and the weather: one line where it is the same both ways.
  [[nodiscard]] static std::vector<std::string> label_of(const Link& link) {
    std::vector<std::string> lines = {link.name};
    const std::string forward = to_string(link.weather[0].initial);
    const std::string backward = to_string(link.weather[1].initial);
    if (forward == backward) {
      if (forward != "clear") lines.push_back(forward);
    } else {
      lines.push_back(fmt::format("from {}: {}", link.ends[0].node, forward));
      lines.push_back(fmt::format("from {}: {}", link.ends[1].node, backward));
    }
    return lines;
  }

  void include(Point point) {
    low_ = {std::min(low_.x, point.x), std::min(low_.y, point.y)};
    high_ = {std::max(high_.x, point.x), std::max(high_.y, point.y)};
  }

  // Where a line from one box to another begins and ends: at the sides that face one another.
  [[nodiscard]] static std::pair<Point, Point> facing(const Box& a, const Box& b) {
    if (a.column == b.column) return {{a.right(), a.middle.y}, {b.right(), b.middle.y}};
    if (a.column < b.column) return {{a.right(), a.middle.y}, {b.left(), b.middle.y}};
    return {{a.left(), a.middle.y}, {b.right(), b.middle.y}};
  }

  [[nodiscard]] std::string links() {
    std::map<std::pair<size_t, size_t>, size_t> all;
    std::map<std::pair<size_t, size_t>, size_t> drawn;
    const auto pair_of = [this](const Link& link) {
      return std::minmax(numbers_.at(link.ends[0].node), numbers_.at(link.ends[1].node));
    };
    for (const Link& link : topology_.links) ++all[pair_of(link)];
    std::string lines;
    for (const Link& link : topology_.links) {
      const auto [begin, end] =
          facing(boxes_[numbers_.at(link.ends[0].node)], boxes_[numbers_.at(link.ends[1].node)]);
      const auto between = static_cast<double>(all[pair_of(link)] - 1) / 2;
      const double bend = (static_cast<double>(drawn[pair_of(link)]++) - between) * 2 * kParallelBend;
      const Point pull{(begin.x + end.x) / 2 + (begin.x == end.x ? kParallelBend : 0),
                       (begin.y + end.y) / 2 + bend};
      lines += fmt::format("<path class=\"link\" d=\"M{:.0f},{:.0f} Q{:.0f},{:.0f} {:.0f},{:.0f}\"/>\n",
                           begin.x, begin.y, pull.x, pull.y, end.x, end.y);
      const Point half{(begin.x + end.x) / 4 + pull.x / 2, (begin.y + end.y) / 4 + pull.y / 2};
      double y = half.y - 7;
      const char* style = "name halo";
      for (const std::string& text : label_of(link)) {
        labels_ += svg_text(half.x, y, style, text, "middle");
        y = std::max(y, half.y) + kLineHeight;
        style = "note halo";
        include({half.x + static_cast<double>(text.size()) * kLetterWidth / 2, y});
      }
      include({half.x, half.y - 2 * kLineHeight});
    }
    return lines;
  }

  [[nodiscard]] std::string tunnels() {
    std::string text;
    for (size_t i = 0; i < topology_.tunnels.size(); ++i) {
      for (const TunnelMember& member : topology_.tunnels[i].members) {
        for (const TunnelPeer& peer : member.peers) {
          if (peer.host < member.host) continue;  // each pair once
          text += arc(boxes_[numbers_.at(member.host)], boxes_[numbers_.at(peer.host)], i);
        }
      }
    }
    return text;
  }

  // Above what lies between; of one column, beside it.
  [[nodiscard]] std::string arc(const Box& a, const Box& b, size_t tunnel) {
    auto [begin, end] = facing(a, b);
    begin.y = a.top() + kBoxPadding;
    end.y = b.top() + kBoxPadding;
    const double rise = kTunnelBend * (1 + 0.5 * static_cast<double>(tunnel));
    Point pull{(begin.x + end.x) / 2, std::min(begin.y, end.y) - rise};
    if (a.column == b.column) {
      pull = {std::max(begin.x, end.x) + rise, (begin.y + end.y) / 2};
    } else {
      for (const Box& box : boxes_) {  // the curve rises half as high as what pulls it
        const bool is_between =
            std::min(a.column, b.column) < box.column && box.column < std::max(a.column, b.column);
        if (is_between) pull.y = std::min(pull.y, 2 * (box.top() - rise / 2) - (begin.y + end.y) / 2);
      }
    }
    include({(begin.x + end.x) / 4 + pull.x / 2, (begin.y + end.y) / 4 + pull.y / 2});
    return fmt::format("<path class=\"tunnel line{}\" d=\"M{:.0f},{:.0f} Q{:.0f},{:.0f} {:.0f},{:.0f}\"/>\n",
                       colour_of(tunnel), begin.x, begin.y, pull.x, pull.y, end.x, end.y);
  }

  [[nodiscard]] std::string boxes() const {
    std::string text;
    for (const Box& box : boxes_) {
      text += svg_rect(box.left(), box.top(), box.width(), box.height(), box.style);
      double y = box.top() + kBoxPadding + 12;
      for (const TextLine& line : box.lines) {
        text += svg_text(box.middle.x, y, line.style, line.text, "middle");
        y += kLineHeight;
      }
    }
    return text;
  }

  const Topology& topology_;
  std::vector<Box> boxes_;
  std::map<std::string, size_t> numbers_;
  std::vector<std::vector<size_t>> neighbours_;
  std::vector<std::vector<size_t>> columns_;
  std::string labels_;  // of the links, over all lines
  Point low_;
  Point high_;
};

}  // namespace

std::string draw_svg(const Topology& topology) {
  return Drawing(topology).svg();
}

}  // namespace lab
