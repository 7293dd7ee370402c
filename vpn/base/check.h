// VPN_CHECK(condition): a broken invariant of our own ends the process, in release builds too. Bytes from the
// network never reach one: what arrives from outside is answered with a Drop or an Error (the fuzzers prove
// it).
#pragma once

#include <cstdio>
#include <cstdlib>

#define VPN_CHECK(condition)                                                                 \
  do {                                                                                       \
    if (!(condition)) [[unlikely]] {                                                         \
      std::fprintf(stderr, "%s:%d: invariant broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)
