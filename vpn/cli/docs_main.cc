// vpn_docs: writes what is generated into vpn/docs, or says how what lies there differs.
//   vpn_docs FOLDER           writes
//   vpn_docs --check FOLDER   exits with 1 when a file is not what would be written
#include <fstream>
#include <iostream>
#include <sstream>

#include "vpn/cli/completions.h"
#include "vpn/cli/manual.h"

namespace {

struct Document {
  const char* path;
  std::string text;
};

std::string read_whole(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The first line, from 1, in which two texts differ.
size_t first_difference(const std::string& a, const std::string& b) {
  std::istringstream left(a), right(b);
  std::string one, other;
  size_t line = 0;
  do {
    ++line;
    one.clear();
    other.clear();
  } while (std::getline(left, one) && std::getline(right, other) && one == other);
  return line;
}

}  // namespace

int main(int argc, char** argv) {
  const bool check = argc == 3 && std::string_view(argv[1]) == "--check";
  if (argc != 2 && !check) {
    std::cerr << "usage: vpn_docs [--check] FOLDER\n";
    return 2;
  }
  const std::string folder = argv[argc - 1];
  const vpn::cli::ProgramModel program = vpn::cli::command_model();
  const Document documents[] = {{"vpn.8", vpn::cli::vpn_8(program)},
                                {"vpn.conf.5", vpn::cli::vpn_conf_5(program)},
                                {"config.md", vpn::cli::config_md()},
                                {"completions/vpn.bash", vpn::cli::bash_completions(program)},
                                {"completions/_vpn", vpn::cli::zsh_completions(program)},
                                {"completions/vpn.fish", vpn::cli::fish_completions(program)}};
  int exit_code = 0;
  for (const auto& [name, text] : documents) {
    const std::string path = folder + "/" + name;
    if (!check) {
      std::ofstream file(path);
      file << text;
      file.flush();
      if (!file) {
        std::cerr << path << ": cannot be written; remedy: check the folder\n";
        return 1;
      }
    } else if (const std::string committed = read_whole(path); committed != text) {
      std::cerr << path << ":" << first_difference(committed, text)
                << ": is not what the program says; remedy: cmake --build build --target vpn_docs_update, "
                   "and commit\n";
      exit_code = 1;
    }
  }
  return exit_code;
}
