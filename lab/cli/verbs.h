// The verbs of `lab`. Each returns the exit status: 0, 1 after one line on stderr, or what the run program
// returned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lab::cli {

struct UpArguments {
  std::string topology = "pair";
  std::string name = "lab";
  std::optional<uint64_t> seed;
  std::vector<std::string> settings;  // "key=value"
};

int up(const UpArguments& arguments);
int down(const std::string& name);
int list();
int status(const std::string& name, bool json);
int exec(const std::string& name, const std::string& host, const std::vector<std::string>& command);
int shell(const std::string& name, const std::string& host);
int impair(const std::string& name, const std::string& link, const std::vector<std::string>& changes);
int link(const std::string& name, const std::string& link, const std::string& state);
int cleanup();
int check(const std::string& topology, const std::vector<std::string>& settings);

}  // namespace lab::cli
