#include <fmt/format.h>

#include <algorithm>

#include "lab/bench/report.h"

namespace lab::bench {
namespace {

constexpr size_t kNameWidth = 14;

std::string number(double value, int decimals) {
  return fmt::format("{:.{}f}", value, decimals);
}

std::string ratio_text(const std::optional<double>& ratio) {
  return ratio ? fmt::format("{:.2f}×", *ratio) : "–";
}

std::string line_of(const Report& report, const CandidateReport& candidate, const Metric& metric) {
  const auto comparison = compare(report, candidate, metric);
  if (!comparison) return "";
  const Spread& spread = comparison->spread;
  const std::string range =
      number(spread.lowest, metric.decimals) + "–" + number(spread.highest, metric.decimals);
  const std::string beside_plain = metric.is_delay && comparison->of_plain
                                       ? fmt::format("{:+.{}f}", *comparison->of_plain, metric.decimals)
                                       : ratio_text(comparison->of_plain);
  return fmt::format("  {:<{}} {:>10} {:>20} {:>10} {:>15}\n", candidate.name, kNameWidth,
                     number(spread.median, metric.decimals), range, beside_plain,
                     ratio_text(comparison->of_wireguard_go));
}

std::string block_of(const Report& report, const Metric& metric) {
  std::string lines;
  for (const CandidateReport& candidate : report.candidates) lines += line_of(report, candidate, metric);
  if (lines.empty()) return "";
  const std::string unit = fmt::format("{}{}", metric.unit, metric.more_is_better ? "" : ", less is better");
  return fmt::format("\n{} ({})\n  {:<{}} {:>10} {:>20} {:>10} {:>15}\n", metric.title, unit, "", kNameWidth,
                     "median", "lowest–highest", metric.is_delay ? "added" : "of plain", "of wireguard-go") +
         lines;
}

std::string joined(const std::map<std::string, std::string>& engine) {
  std::string text;
  for (const auto& [key, value] : engine) text += fmt::format("; {}: {}", key, value);
  return text;
}

}  // namespace

std::string to_table(const Report& report) {
  const Machine& machine = report.machine;
  std::string text = fmt::format(
      "{}, {} cores, Linux {}; load before: {:.2f}\nlink: {}; {} rounds, {} s a TCP window; both ends share "
      "the cores\n",
      machine.processor, machine.cores, machine.kernel, machine.load_before, report.link, report.rounds,
      report.seconds);
  for (const CandidateReport& candidate : report.candidates) {
    text += fmt::format("  {:<{}} {}{}{}\n", candidate.name, kNameWidth, candidate.about,
                        candidate.version.empty() ? "" : ": " + candidate.version, joined(candidate.engine));
  }
  for (const Metric& metric : all_metrics()) {
    if (metric.in_table) text += block_of(report, metric);
  }
  std::string failures;
  for (const CandidateReport& candidate : report.candidates) {
    for (const std::string& failure : candidate.failures) {
      failures += fmt::format("  {:<{}} {}\n", candidate.name, kNameWidth, failure);
    }
  }
  if (!failures.empty()) text += "\nNot measured\n" + failures;
  return text;
}

}  // namespace lab::bench
