// Capturing what passes a link or a host into a pcapng file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lab/error.h"
#include "lab/kernel/unique_fd.h"

namespace lab {

// One interface to listen on.
struct CapturePoint {
  std::string label;           // as the file calls it: "left:wan"
  std::string interface;       // in the network namespace of `holder`
  pid_t holder = 0;            // a process that is in the host
  bool only_outgoing = false;  // a link is heard at both ends: each packet once, as it was sent
};

// What Wireshark is to decrypt with, in its key log format.
struct CaptureKeys {
  std::string known;  // the long-term keys
  std::vector<std::string>
      files;  // what daemons append to while the capture runs; they need not be there yet
};

struct CaptureLimits {
  uint64_t packets = 0;  // 0: no limit
  double seconds = 0;    // 0: no limit
};

// Writes packets until a limit is reached or SIGINT or SIGTERM comes. `ready` is called once everything
// listens. A key that is in its file before the message it belongs to is sent stands before it in the
// capture, as a reader needs it. Returns how many packets there were. The calling process is in other
// namespaces afterwards.
[[nodiscard]] Result<uint64_t> capture(const std::vector<CapturePoint>& points, const std::string& file,
                                       const std::string& comment, const CaptureKeys& keys,
                                       CaptureLimits limits, const std::function<void()>& ready);

}  // namespace lab
