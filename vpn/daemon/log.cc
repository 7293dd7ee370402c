#include "vpn/daemon/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <nlohmann/json.hpp>

#include "vpn/daemon/log_file.h"

namespace vpn::daemon {
namespace {

constexpr char kJournalSocket[] = "/run/systemd/journal/socket";
constexpr size_t kLongestLogFile = size_t{4} << 20;
constexpr std::array<std::string_view, 5> kLevelNames = {"debug", "info", "warning", "error", "off"};

spdlog::level::level_enum to_spdlog(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

std::string iso_time() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  std::array<char, 32> text{};
  const size_t length = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  return std::string(text.data(), length) + fmt::format(".{:03}Z", now.tv_nsec / 1'000'000);
}

// Blanks and quotes in a value make it a quoted word; control characters never reach a terminal.
std::string text_value(std::string_view value) {
  const bool plain = !value.empty() && value.find_first_of(" \"=") == std::string_view::npos;
  std::string text;
  for (const char character : value) {
    const bool control = static_cast<unsigned char>(character) < 0x20 || character == 0x7f;
    if (character == '"') text += '\\';
    text += control ? '?' : character;
  }
  return plain ? text : "\"" + text + "\"";
}

class FileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(LogFile file) noexcept : file_(std::move(file)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    file_.append({line.data(), line.size()});
  }
  void flush_() override {}

  LogFile file_;
};

}  // namespace

Result<LogLevel, Error> parse_log_level(std::string_view text) {
  for (size_t index = 0; index < kLevelNames.size(); ++index) {
    if (text == kLevelNames[index]) return static_cast<LogLevel>(index);
  }
  return fail(Error{"", 0, "--log-level", "'" + std::string(text) + "' is not a level",
                    "use debug, info, warning, error or off"});
}

Result<LogFormat, Error> parse_log_format(std::string_view text) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  return fail(
      Error{"", 0, "--log-format", "'" + std::string(text) + "' is not a format", "use text or json"});
}

std::string log_line_text(std::string_view source, std::string_view event, const Log::Fields& fields) {
  std::string line = std::string(source) + ": " + std::string(event);
  for (const auto& [name, value] : fields)
    line.append(" ").append(name).append("=").append(text_value(value));
  return line;
}

std::string log_line_json(std::string_view time, LogLevel level, std::string_view source,
                          std::string_view event, const Log::Fields& fields) {
  nlohmann::ordered_json line;
  line["time"] = time;
  line["level"] = kLevelNames[static_cast<size_t>(level)];
  line["interface"] = source;
  line["event"] = event;
  for (const auto& [name, value] : fields) line[std::string(name)] = value;
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

class Log::Sink {
 public:
  Sink(const LogOptions& options, const std::string& source) : logger_("vpn") {
    auto terminal = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    terminal->set_pattern(options.format == LogFormat::kJson ? kBarePattern : kTimedPattern);
    if (options.target == LogTarget::kBackground) {
      add_background_sink(options, source);
      terminal->set_level(spdlog::level::warn);
    }
    logger_.sinks().push_back(std::move(terminal));
    logger_.set_level(to_spdlog(options.level));
    logger_.flush_on(spdlog::level::debug);
  }
  // What kept the log's file from being made; empty: nothing did.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  [[nodiscard]] bool wants(LogLevel level) const { return logger_.should_log(to_spdlog(level)); }
  void write(LogLevel level, const std::string& line) { logger_.log(to_spdlog(level), "{}", line); }
  void drop_terminal() { logger_.sinks().pop_back(); }

 private:
  static constexpr char kBarePattern[] = "%v";
  static constexpr char kTimedPattern[] = "%Y-%m-%d %H:%M:%S.%e %^%l%$ %v";

  void add_background_sink(const LogOptions& options, const std::string& source) {
    if (access(kJournalSocket, F_OK) == 0) {
      logger_.sinks().push_back(std::make_shared<spdlog::sinks::systemd_sink_mt>("vpn"));
      logger_.sinks().back()->set_pattern(kBarePattern);
      return;
    }
    const std::string path = log_file_path(source);
    auto file = LogFile::open(path, path.substr(0, path.rfind('.')) + ".1.log", kLongestLogFile);
    if (!file) {
      problem_ = file.error().to_string();
      return;
    }
    logger_.sinks().push_back(std::make_shared<FileSink>(std::move(*file)));
    logger_.sinks().back()->set_pattern(options.format == LogFormat::kJson ? kBarePattern : kTimedPattern);
  }

  spdlog::logger logger_;
  std::string problem_;
};

std::string log_file_path(const std::string& interface) {
  return "/var/log/vpn/" + interface + ".log";
}

Log::Log(const LogOptions& options, std::string source)
    : sink_(std::make_unique<Sink>(options, source)), format_(options.format), source_(std::move(source)) {
  if (!sink_->problem().empty()) warning("there will be no log", {{"error", sink_->problem()}});
}
Log::~Log() = default;

void Log::let_go_of_terminal() noexcept {
  sink_->drop_terminal();
}

bool Log::wants(LogLevel level) const {
  return sink_->wants(level);
}

void Log::write(LogLevel level, std::string_view event, const Fields& fields) {
  if (!sink_->wants(level)) return;
  sink_->write(level, format_ == LogFormat::kJson ? log_line_json(iso_time(), level, source_, event, fields)
                                                  : log_line_text(source_, event, fields));
}

}  // namespace vpn::daemon
