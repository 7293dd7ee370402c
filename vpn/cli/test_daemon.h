// For tests: a daemon that is only a control socket, answered by the test.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "vpn/io/unique_fd.h"

namespace vpn::cli {

class TestDaemon {
 public:
  using Handler = std::function<std::string(const std::string& request)>;

  // Listens at PATH and answers each whole request (one that ends in an empty line) with what `handler`
  // returns; an empty answer closes the connection. The handler runs on another thread.
  TestDaemon(const std::string& path, Handler handler);
  ~TestDaemon();
  TestDaemon(const TestDaemon&) = delete;
  TestDaemon& operator=(const TestDaemon&) = delete;

  // All requests so far, in order.
  [[nodiscard]] std::vector<std::string> requests() const;

 private:
  void serve();
  void serve_one(int fd);

  Handler handler_;
  io::UniqueFd listener_;
  io::UniqueFd stop_read_, stop_write_;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace vpn::cli
