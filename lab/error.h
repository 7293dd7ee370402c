// Error: what the lab says when it cannot do a thing: where, what, and what to do about it. Printed as one
// line.
#pragma once

#include <string>
#include <utility>

#include "vpn/base/result.h"

namespace lab {

struct Error {
  std::string where;   // a file and line, a link, a host, a program; empty where the command itself is meant
  std::string what;    // what is wrong, without a full stop
  std::string remedy;  // what the user can do; empty only where nothing can be said

  // "where: what; remedy: do this", on one line.
  [[nodiscard]] std::string to_string() const;
};

template <typename T>
using Result = vpn::Result<T, Error>;

// fail(where, what, remedy): what a function returning Result<T> returns when it has no T.
inline vpn::Failure<Error> fail(std::string where, std::string what, std::string remedy = {}) {
  return vpn::Failure<Error>(Error{std::move(where), std::move(what), std::move(remedy)});
}
inline vpn::Failure<Error> fail(Error error) {
  return vpn::Failure<Error>(std::move(error));
}

// fail() for a system call that has just failed: adds the text of errno to `what`.
vpn::Failure<Error> fail_errno(std::string where, const std::string& what, std::string remedy = {});

}  // namespace lab
