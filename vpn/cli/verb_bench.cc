// vpn bench: what this machine can do.
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>
#include <ostream>
#include <thread>

#include "vpn/cli/bench_crypto.h"
#include "vpn/cli/bench_tunnel.h"
#include "vpn/cli/verbs.h"

namespace vpn::cli {
namespace {

struct BenchOptions {
  bool json = false;
  bool crypto_only = false;
  double seconds = 2;
};

constexpr std::chrono::milliseconds kCipherTime{500};

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(": ") + 2);
  }
  return "unknown processor";
}

int run_bench(const BenchOptions& options, Io& io) {
  BenchFigures figures;
  figures.processor = processor_name();
  figures.cores = std::thread::hardware_concurrency();
  utsname kernel{};
  if (::uname(&kernel) == 0) figures.kernel = kernel.release;
  const bool terminal = io.out_fd >= 0 && ::isatty(STDERR_FILENO) != 0;
  const auto step = [&](const std::string& what) {
    if (terminal) io.err << "\r\x1b[Kmeasuring " << what << std::flush;
  };
  step("the ciphers");
  figures.ciphers = measure_ciphers(kCipherTime);
  Result<void, Error> measured;
  if (!options.crypto_only) measured = measure_tunnels({options.seconds, step}, figures);
  if (terminal) io.err << "\r\x1b[K" << std::flush;
  io.out << (options.json ? bench_json(figures) : bench_text(figures));
  return measured ? kFine : report_error(measured.error(), io);
}

}  // namespace

void add_bench_verb(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("bench", "Measure what this machine can do");
  const auto options = std::make_shared<BenchOptions>();
  verb->add_flag("--json", options->json, "Print JSON");
  verb->add_flag("--crypto-only", options->crypto_only, "Measure the ciphers alone; needs no privilege");
  verb->add_option("--seconds", options->seconds, "How long each TCP stream is measured")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 600.0))
      ->capture_default_str();
  verb->footer("Both ends run on this machine, in namespaces that go with the command. Example: vpn bench");
  verb->callback([options, &chosen] { chosen = [options](Io& io) { return run_bench(*options, io); }; });
}

}  // namespace vpn::cli
