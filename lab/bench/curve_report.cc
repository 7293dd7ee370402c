#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lab/bench/chart.h"
#include "lab/bench/curve.h"
#include "lab/bench/report_json.h"
#include "lab/svg.h"
#include "vpn/traffic/statistics.h"

namespace lab::bench {
namespace {

constexpr double kPlotWidth = 760;
constexpr double kHeight = 420;
constexpr double kLeft = 70;
constexpr double kRight = 120;
constexpr double kTop = 70;
constexpr double kBottom = 50;

// A point as a share of its line's first.
std::optional<double> share_of_first(const CurveLine& line, const CurvePoint& point) {
  return vpn::traffic::ratio(vpn::traffic::spread_of(point.samples),
                             vpn::traffic::spread_of(line.points.front().samples));
}

// From figures to places in the chart.
struct Frame {
  double first_x = 1;
  double last_x = 1;
  double highest = 0;

  explicit Frame(const CurveReport& report) {
    bool any = false;
    for (const CurveLine& line : report.lines) {
      for (const CurvePoint& point : line.points) {
        const auto spread = vpn::traffic::spread_of(point.samples);
        if (!spread) continue;
        first_x = any ? std::min(first_x, point.x) : point.x;
        last_x = std::max(any ? last_x : point.x, point.x);
        highest = std::max(highest, spread->highest);
        any = true;
      }
    }
  }
  [[nodiscard]] double x(double value) const {
    const double span = std::log(last_x / first_x);
    return kLeft + (span > 0 ? std::log(value / first_x) / span : 0) * (kPlotWidth - kLeft - kRight);
  }
  [[nodiscard]] double y(double value) const {
    return kHeight - kBottom - (highest > 0 ? value / highest : 0) * (kHeight - kTop - kBottom);
  }
};

std::string line_svg(const CurveLine& line, const Frame& frame, std::string_view style) {
  std::string path;
  std::string marks;
  double end_x = kLeft;
  double end_y = kHeight - kBottom;
  for (const CurvePoint& point : line.points) {
    const auto spread = vpn::traffic::spread_of(point.samples);
    if (!spread) continue;
    end_x = frame.x(point.x);
    end_y = frame.y(spread->median);
    path += fmt::format("{:.1f},{:.1f} ", end_x, end_y);
    marks += svg_line(end_x, frame.y(spread->lowest), end_x, frame.y(spread->highest), "whisker");
  }
  return fmt::format("<polyline points=\"{}\" class=\"curve {}\"/>\n", path, style) + marks +
         svg_text(end_x + 8, end_y + 4, "name", line.name);
}

}  // namespace

std::string to_json(const CurveReport& report) {
  Json lines = Json::array();
  for (const CurveLine& line : report.lines) {
    Json points = Json::array();
    for (const CurvePoint& point : line.points) {
      Json one = {{"x", point.x}, {"samples", point.samples}};
      if (const auto spread = vpn::traffic::spread_of(point.samples)) {
        one["median"] = spread->median;
        one["lowest"] = spread->lowest;
        one["highest"] = spread->highest;
      }
      if (const auto share = share_of_first(line, point)) one["of_first"] = *share;
      points.push_back(one);
    }
    lines.push_back(
        {{"name", line.name}, {"about", line.about}, {"points", points}, {"failures", line.failures}});
  }
  const Json json = {{"schema", "lab-bench-curve/1"},
                     {"started", report.started},
                     {"machine", machine_json(report.machine)},
                     {"link", report.link},
                     {"curve", report.curve},
                     {"title", report.title},
                     {"x", report.x_title},
                     {"unit", "Gbit/s"},
                     {"rounds", report.rounds},
                     {"lines", lines}};
  return json_text(json);
}

std::string to_table(const CurveReport& report) {
  std::string text =
      fmt::format("{}\n{}, {} cores, Linux {}; load before: {:.2f}\nlink: {}; {} rounds\n", report.title,
                  report.machine.processor, report.machine.cores, report.machine.kernel,
                  report.machine.load_before, report.link, report.rounds);
  for (const CurveLine& line : report.lines) {
    text += fmt::format("\n{} ({})\n  {:>8} {:>10} {:>16} {:>12}\n", line.name, line.about, report.x_title,
                        "Gbit/s", "lowest–highest", "of the first");
    for (const CurvePoint& point : line.points) {
      const auto spread = vpn::traffic::spread_of(point.samples);
      if (!spread) continue;
      const auto share = share_of_first(line, point);
      text += fmt::format("  {:>8.0f} {:>10.3f} {:>16} {:>12}\n", point.x, spread->median,
                          fmt::format("{:.3f}–{:.3f}", spread->lowest, spread->highest),
                          share ? fmt::format("{:.2f}×", *share) : "–");
    }
    for (const std::string& failure : line.failures) text += fmt::format("  not measured: {}\n", failure);
  }
  return text;
}

std::string to_svg(const CurveReport& report) {
  const Frame frame(report);
  std::string body = svg_text(kLeft, 26, "title", report.title) +
                     svg_text(kLeft, 46, "note",
                              fmt::format("Gbit/s; {}, Linux {}; {}; {} rounds; {}", report.machine.processor,
                                          report.machine.kernel, report.link, report.rounds, report.started));
  for (unsigned step = 0; step <= 4; ++step) {
    const double value = frame.highest * step / 4;
    body += svg_line(kLeft, frame.y(value), kPlotWidth - kRight, frame.y(value), "axis") +
            svg_text(kLeft - 8, frame.y(value) + 4, "name", fmt::format("{:.2f}", value), "end");
  }
  std::vector<double> ticks;
  for (const CurveLine& line : report.lines) {
    for (const CurvePoint& point : line.points) ticks.push_back(point.x);
  }
  std::sort(ticks.begin(), ticks.end());
  ticks.erase(std::unique(ticks.begin(), ticks.end()), ticks.end());
  for (const double x : ticks) {
    body += svg_text(frame.x(x), kHeight - kBottom + 18, "name", fmt::format("{:.0f}", x), "middle");
  }
  body += svg_text(kPlotWidth - kRight, kHeight - 12, "note", report.x_title, "end");
  bool first = true;
  for (const CurveLine& line : report.lines) {
    if (!line.points.empty()) body += line_svg(line, frame, first ? "" : "second");
    first = false;
  }
  return chart_document(kPlotWidth, kHeight, body);
}

}  // namespace lab::bench
