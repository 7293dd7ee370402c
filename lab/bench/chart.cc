#include "lab/bench/chart.h"

#include <fmt/format.h>

#include <algorithm>

#include "lab/bench/report.h"
#include "lab/svg.h"

namespace lab::bench {
namespace {

constexpr double kWidth = 960;
constexpr double kMargin = 24;
constexpr double kNameColumn = 120;
constexpr double kBarColumn = 560;
constexpr double kBarHeight = 14;
constexpr double kRowHeight = 20;
constexpr double kPanelGap = 34;

double longest_of(const Report& report, const Metric& metric) {
  double longest = 0;
  for (const CandidateReport& candidate : report.candidates) {
    if (const auto spread = candidate.spread(metric.id)) longest = std::max(longest, spread->highest);
  }
  return longest;
}

std::string bar_of(const Report& report, const CandidateReport& candidate, const Metric& metric, double y,
                   double longest) {
  const auto comparison = compare(report, candidate, metric);
  if (!comparison) return "";
  const Spread& spread = comparison->spread;
  const double left = kMargin + kNameColumn;
  const double middle = y + kBarHeight / 2;
  const auto at = [&](double value) { return left + (longest > 0 ? value / longest * kBarColumn : 0); };
  std::string label = fmt::format("{:.{}f}", spread.median, metric.decimals);
  if (comparison->of_wireguard_go)
    label += fmt::format("  {:.2f}× wireguard-go", *comparison->of_wireguard_go);
  return svg_text(left - 8, y + 11, "name", candidate.name, "end") +
         svg_rect(left, y, at(spread.median) - left, kBarHeight,
                  candidate.name.starts_with("vpn") ? "ours" : "bar") +
         svg_line(at(spread.lowest), middle, at(spread.highest), middle, "whisker") +
         svg_text(left + kBarColumn + 12, y + 11, "value", label);
}

}  // namespace

std::string chart_document(double width, double height, const std::string& body) {
  return svg_document(
      width, height, "lab bench",
      "text{font:12px sans-serif;fill:#222} .title{font-weight:bold;font-size:14px} .note{fill:#666} "
      ".bar{fill:#9db4c8} .ours{fill:#2f7d4f} .whisker{stroke:#222;stroke-width:1.5} .axis{stroke:#bbb} "
      ".curve{fill:none;stroke:#2f7d4f;stroke-width:2} .second{stroke:#b5651d}",
      body);
}

std::string to_svg(const Report& report) {
  double y = kMargin + 10;
  std::string body = svg_text(kMargin, y, "title", "VPNs side by side on one link, in one run");
  body += svg_text(
      kMargin, y + 18, "note",
      fmt::format("{}, {} cores, Linux {}; {}; {} rounds; {}", report.machine.processor, report.machine.cores,
                  report.machine.kernel, report.link, report.rounds, report.started));
  y += 18;
  for (const Metric& metric : all_metrics()) {
    const double longest = longest_of(report, metric);
    if (!metric.in_table || longest <= 0) continue;
    y += kPanelGap;
    body += svg_text(
        kMargin, y, "title",
        fmt::format("{}, {}{}", metric.title, metric.unit, metric.more_is_better ? "" : " (less is better)"));
    y += 10;
    for (const CandidateReport& candidate : report.candidates) {
      const std::string bar = bar_of(report, candidate, metric, y, longest);
      if (bar.empty()) continue;
      body += bar;
      y += kRowHeight;
    }
  }
  for (const CandidateReport& candidate : report.candidates) {
    for (const std::string& failure : candidate.failures) {
      y += kRowHeight;
      body += svg_text(kMargin, y, "note", candidate.name + ": " + failure);
    }
  }
  return chart_document(kWidth, y + kMargin, body);
}

}  // namespace lab::bench
