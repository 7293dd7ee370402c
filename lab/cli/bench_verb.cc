// lab bench.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "lab/bench/bench.h"
#include "lab/bench/curve.h"
#include "lab/cli/verbs.h"
#include "lab/kernel/namespaces.h"

namespace lab::cli {
namespace {

std::string time_left(double seconds) {
  const auto whole = static_cast<unsigned>(seconds > 0 ? seconds + 0.5 : 0);
  return whole >= 60 ? fmt::format("{} min {:02} s", whole / 60, whole % 60) : fmt::format("{} s", whole);
}

// One line that is overwritten on a terminal; elsewhere a line a step.
void show_progress(const std::string& what, double seconds_left) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  fmt::print(stderr, "{}{}, about {} left{}", terminal ? "\r\x1b[K" : "", what, time_left(seconds_left),
             terminal ? "" : "\n");
  std::fflush(stderr);
}

// Before minutes are spent: a file that cannot be written is said at once.
Result<void> claim(const std::string& file) {
  return file.empty() ? Result<void>() : write_file(file, "");
}

template <typename Report>
int finish(const Result<Report>& report, const BenchArguments& arguments) {
  if (::isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\x1b[K");
  if (!report) return complain(report.error());
  fmt::print("{}", to_table(*report));
  if (!arguments.json_file.empty()) {
    if (auto done = write_file(arguments.json_file, to_json(*report)); !done) return complain(done.error());
  }
  if (!arguments.svg_file.empty()) {
    if (auto done = write_file(arguments.svg_file, to_svg(*report)); !done) return complain(done.error());
  }
  return 0;
}

}  // namespace

int bench(const BenchArguments& arguments) {
  for (const std::string* const file : {&arguments.json_file, &arguments.svg_file}) {
    if (auto claimed = claim(*file); !claimed) return complain(claimed.error());
  }
  if (!arguments.curve.empty()) {
    return finish(bench::run_curve(arguments.curve, arguments.options, show_progress), arguments);
  }
  return finish(bench::run(arguments.options, show_progress), arguments);
}

}  // namespace lab::cli
