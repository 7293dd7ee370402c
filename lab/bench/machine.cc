#include "lab/bench/machine.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "lab/kernel/namespaces.h"

namespace lab::bench {
namespace {

std::string processor_name() {
  const std::string text = read_file("/proc/cpuinfo").value_or("");
  const size_t at = text.find("model name");
  if (at == std::string::npos) return "unknown processor";
  const size_t start = text.find(": ", at) + 2;
  return text.substr(start, text.find('\n', start) - start);
}

}  // namespace

Machine describe_machine() {
  Machine machine;
  machine.processor = processor_name();
  machine.cores = std::thread::hardware_concurrency();
  utsname kernel{};
  if (::uname(&kernel) == 0) machine.kernel = kernel.release;
  struct sysinfo memory {};
  if (::sysinfo(&memory) == 0) {
    machine.memory_gb = static_cast<double>(memory.totalram) * memory.mem_unit / 1e9;
  }
  std::array<double, 1> load{};
  if (::getloadavg(load.data(), 1) == 1) machine.load_before = load[0];
  return machine;
}

std::string now_in_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

}  // namespace lab::bench
