// Log: events with fields, as text for people or as one JSON object a line for programs. Never give it a key,
// or bytes of a packet.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"

namespace vpn::daemon {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError, kOff };
enum class LogFormat : uint8_t { kText, kJson };
// kBackground: the journal where there is one, else log_file_path().
enum class LogTarget : uint8_t { kStderr, kBackground };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  LogTarget target = LogTarget::kStderr;
};

// "debug", "info", "warning", "error", "off"; "text", "json".
[[nodiscard]] Result<LogLevel, Error> parse_log_level(std::string_view text);
[[nodiscard]] Result<LogFormat, Error> parse_log_format(std::string_view text);
// "/var/log/vpn/wg0.log". Of 4 MiB at most; what it held before is in wg0.1.log.
[[nodiscard]] std::string log_file_path(const std::string& interface);

// Any thread may write.
class Log {
 public:
  using Fields = std::vector<std::pair<std::string_view, std::string>>;

  // `source` names the interface in every line. In the background warnings and errors go to stderr too, until
  // let_go_of_terminal().
  Log(const LogOptions& options, std::string source);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // From now on nothing goes to stderr, which whoever started the daemon takes back; only a background log
  // cares.
  void let_go_of_terminal() noexcept;
  [[nodiscard]] bool wants(LogLevel level) const;

  // `event` is a fixed phrase; what varies is in the fields.
  void write(LogLevel level, std::string_view event, const Fields& fields = {});
  void debug(std::string_view event, const Fields& fields = {}) { write(LogLevel::kDebug, event, fields); }
  void info(std::string_view event, const Fields& fields = {}) { write(LogLevel::kInfo, event, fields); }
  void warning(std::string_view event, const Fields& fields = {}) {
    write(LogLevel::kWarning, event, fields);
  }
  void error(std::string_view event, const Fields& fields = {}) { write(LogLevel::kError, event, fields); }

 private:
  class Sink;
  std::unique_ptr<Sink> sink_;
  LogFormat format_;
  std::string source_;
};

// "wg0: handshake made peer=AbCd… role=initiator"
[[nodiscard]] std::string log_line_text(std::string_view source, std::string_view event,
                                        const Log::Fields& fields);
// {"level":"info","interface":"wg0","event":"handshake made","peer":"AbCd…"}; the time is in it as ISO 8601.
[[nodiscard]] std::string log_line_json(std::string_view time, LogLevel level, std::string_view source,
                                        std::string_view event, const Log::Fields& fields);

}  // namespace vpn::daemon
