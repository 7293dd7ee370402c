#include "lab/error.h"

#include <cerrno>
#include <system_error>

namespace lab {

std::string Error::to_string() const {
  std::string line = where.empty() ? what : where + ": " + what;
  if (!remedy.empty()) line += "; remedy: " + remedy;
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return line;
}

vpn::Failure<Error> fail_errno(std::string where, const std::string& what, std::string remedy) {
  const int code = errno;
  return fail(std::move(where), what + ": " + std::generic_category().message(code), std::move(remedy));
}

}  // namespace lab
