// The verbs of `lab`. Each returns the exit status: 0, 1 after one line on stderr, or what the run program
// returned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lab/bench/bench.h"

namespace lab::cli {

struct UpArguments {
  std::string topology = "pair";
  std::string name = "lab";
  std::optional<uint64_t> seed;
  std::vector<std::string> settings;  // "key=value"
};

struct VmArguments {
  std::string machine = "uml";
  std::string memory = "1G";
  unsigned limit_seconds = 600;
  std::vector<std::string> writable;
  std::vector<std::string> command;
};

struct CaptureArguments {
  std::string name;
  std::string target;  // a link or a host
  std::string file;
  uint64_t packets = 0;  // 0: no limit
  double seconds = 0;    // 0: no limit
};

struct BenchArguments {
  bench::Options options;
  std::string json_file;  // empty: none
  std::string svg_file;   // empty: none
  std::string curve;      // empty: candidates side by side
};

// Prints the one line of a failure on standard error; returns 1, the exit status.
int complain(const Error& error);

// Each carries out the verb of its name, says on standard error what went wrong, and returns the exit status.
int up(const UpArguments& arguments);
int down(const std::string& name);
int list();
int status(const std::string& name, bool json, bool watch);
int exec(const std::string& name, const std::string& host, const std::vector<std::string>& command);
int shell(const std::string& name, const std::string& host);
int impair(const std::string& name, const std::string& link, const std::vector<std::string>& changes);
int link(const std::string& name, const std::string& link, const std::string& state);
int capture(const CaptureArguments& arguments);
int events(const std::string& name, bool follow);
int graph(const std::string& topology, const std::vector<std::string>& settings, const std::string& file);
int doctor();
int cleanup();
int bench(const BenchArguments& arguments);
int vm_run(const VmArguments& arguments);
int check(const std::string& topology, const std::vector<std::string>& settings);

}  // namespace lab::cli
