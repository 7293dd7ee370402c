// Result<T, E>: a value or the reason there is none. Nothing in the core throws.
#pragma once

#include <tl/expected.hpp>
#include <utility>

namespace vpn {

template <typename T, typename E>
using Result = tl::expected<T, E>;

template <typename E>
using Failure = tl::unexpected<E>;

// fail(reason): what a function returning Result<T, E> returns when it has no T.
template <typename E>
constexpr Failure<E> fail(E reason) {
  return Failure<E>(std::move(reason));
}

}  // namespace vpn
