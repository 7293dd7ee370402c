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
  pid_t holder = 0;            // a process that is in the host, or where the switches are
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

// How many packets a capture holds, and how many it lacks because they came faster than they were read.
struct Captured {
  uint64_t packets = 0;
  uint64_t lost = 0;
};

// Writes packets until a limit is reached or SIGINT or SIGTERM comes; to standard output where `file` is "-".
// `ready` is called once everything listens. Each packet is written as a cable would carry it: what a host
// hands over to be cut later is cut (UDP from Linux 6.2 on), and checksums are complete. An interface that
// goes away, as with its daemon, is heard again when there is another of its name. A key that is in its file
// before the message it belongs to is sent stands before it in the capture, as a reader needs it. The calling
// process is in other namespaces afterwards.
[[nodiscard]] Result<Captured> capture(const std::vector<CapturePoint>& points, const std::string& file,
                                       const std::string& comment, const CaptureKeys& keys,
                                       CaptureLimits limits, const std::function<void()>& ready);

}  // namespace lab
