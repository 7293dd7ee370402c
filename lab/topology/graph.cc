#include "lab/topology/graph.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <numbers>

namespace lab {
namespace {

struct Point {
  double x = 0;
  double y = 0;
};

constexpr double kMargin = 150;
constexpr double kBoxWidth = 150;
constexpr double kBoxHeight = 44;

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string text_at(Point at, std::string_view text, std::string_view style) {
  return fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" class=\"{}\">{}</text>\n", at.x, at.y, style,
                     escaped(text));
}

Point between(Point a, Point b, double share) {
  return {a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share};
}

// All nodes on a circle, in the order of the file; two of them side by side.
std::map<std::string, Point> place(const Topology& topology, double radius, Point middle) {
  std::vector<std::string> names;
  for (const Host& host : topology.hosts) names.push_back(host.name);
  for (const Switch& one : topology.switches) names.push_back(one.name);
  std::map<std::string, Point> places;
  for (size_t i = 0; i < names.size(); ++i) {
    const double angle =
        std::numbers::pi * (1 + 2 * static_cast<double>(i) / static_cast<double>(names.size()));
    places[names[i]] = {middle.x + radius * std::cos(angle), middle.y + radius * std::sin(angle)};
  }
  return places;
}

std::string weather_of(const Link& link) {
  const std::string forward = to_string(link.weather[0].initial);
  const std::string backward = to_string(link.weather[1].initial);
  if (forward == backward) return forward == "clear" ? "" : forward;
  return fmt::format("{} → {} | {} → {}", link.ends[0].node, forward, link.ends[1].node, backward);
}

std::string addresses_of(const LinkEnd& end) {
  std::string text;
  for (const IpPrefix& address : end.addresses) text += (text.empty() ? "" : ", ") + address.to_string();
  return text;
}

}  // namespace

std::string draw_svg(const Topology& topology) {
  const size_t count = topology.hosts.size() + topology.switches.size();
  const double radius = std::max(220.0, static_cast<double>(count) * 60);
  const Point middle{radius + kMargin, (count <= 2 ? 0 : radius) + kMargin};
  const auto places = place(topology, radius, middle);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" "
      "height=\"{:.0f}\">\n<title>{}</title>\n<style>text{{font:13px "
      "sans-serif;text-anchor:middle}}.small{{font-size:11px;fill:#555}}.name{{font-weight:bold}}line{{"
      "stroke:#333;"
      "stroke-width:2}}.node{{fill:#eef4ff;stroke:#335}}.tunnel{{fill:none;stroke:#2a7;stroke-width:2;"
      "stroke-dasharray:6 4}}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      2 * middle.x, 2 * middle.y, escaped(topology.about));
  for (const Link& link : topology.links) {
    const Point a = places.at(link.ends[0].node);
    const Point b = places.at(link.ends[1].node);
    svg +=
        fmt::format("<line x1=\"{:.0f}\" y1=\"{:.0f}\" x2=\"{:.0f}\" y2=\"{:.0f}\"/>\n", a.x, a.y, b.x, b.y);
    const Point half = between(a, b, 0.5);
    svg += text_at({half.x, half.y - 6}, link.name, "name");
    if (const std::string weather = weather_of(link); !weather.empty())
      svg += text_at({half.x, half.y + 14}, weather, "small");
    const Point near_a = between(a, b, 0.24);
    const Point near_b = between(a, b, 0.76);
    svg += text_at({near_a.x, near_a.y - 8}, addresses_of(link.ends[0]), "small");
    svg += text_at({near_b.x, near_b.y + 16}, addresses_of(link.ends[1]), "small");
  }
  for (const Tunnel& tunnel : topology.tunnels) {
    for (const TunnelMember& member : tunnel.members) {
      for (const TunnelPeer& peer : member.peers) {
        if (peer.host < member.host) continue;  // each pair once
        const Point a = places.at(member.host);
        const Point b = places.at(peer.host);
        const Point half = between(a, b, 0.5);
        const Point bend{half.x, half.y - 90};
        svg += fmt::format("<path class=\"tunnel\" d=\"M{:.0f},{:.0f} Q{:.0f},{:.0f} {:.0f},{:.0f}\"/>\n",
                           a.x, a.y, bend.x, bend.y, b.x, b.y);
        svg += text_at({half.x, half.y - 50}, fmt::format("{} ({})", tunnel.interface, tunnel.kind), "small");
      }
    }
  }
  for (const Host& host : topology.hosts) {
    const Point at = places.at(host.name);
    svg += fmt::format(
        "<rect class=\"node\" rx=\"6\" x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\"/>\n",
        at.x - kBoxWidth / 2, at.y - kBoxHeight / 2, kBoxWidth, kBoxHeight);
    svg += text_at({at.x, at.y - 2}, host.name, "name");
    std::string role = host.nat       ? "NAT, " + std::string(to_string(host.nat->kind))
                       : host.forward ? "router"
                                      : "host";
    for (const Service& service : topology.services) {
      if (service.host == host.name) role += ", " + service.name;
    }
    svg += text_at({at.x, at.y + 14}, role, "small");
  }
  for (const Switch& one : topology.switches) {
    const Point at = places.at(one.name);
    svg += fmt::format("<ellipse class=\"node\" cx=\"{:.0f}\" cy=\"{:.0f}\" rx=\"70\" ry=\"28\"/>\n", at.x,
                       at.y);
    svg += text_at({at.x, at.y + 4}, one.name, "name");
  }
  return svg + "</svg>\n";
}

}  // namespace lab
