#include "lab/run/topology_files.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "lab/kernel/namespaces.h"

namespace lab {
namespace {

namespace fs = std::filesystem;

fs::path shipped_directory() {
  if (const char* given = std::getenv("LAB_TOPOLOGIES")) return given;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path bin = program.parent_path();
  for (const fs::path& place : {bin / "../../lab/topologies", bin / "../share/vpn-lab/topologies"}) {
    if (fs::is_directory(place, error)) return fs::weakly_canonical(place, error);
  }
  return "lab/topologies";
}

}  // namespace

std::vector<std::string> shipped_topologies() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(shipped_directory(), error)) {
    if (entry.path().extension() == ".toml") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<TopologyFile> find_topology(const std::string& name) {
  const bool is_path = name.find('/') != std::string::npos || name.ends_with(".toml");
  const fs::path path = is_path ? fs::path(name) : shipped_directory() / (name + ".toml");
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    std::string known;
    for (const std::string& one : shipped_topologies()) known += (known.empty() ? "" : ", ") + one;
    return fail(name, is_path ? "there is no such file" : "no such topology ships",
                known.empty() ? "give the path of a topology file"
                              : "give the path of a topology file, or one of " + known);
  }
  auto text = read_file(path);
  if (!text) return fail(text.error());
  return TopologyFile{is_path ? name : name + ".toml", std::move(*text)};
}

}  // namespace lab
