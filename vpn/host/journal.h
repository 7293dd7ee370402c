// Journal: what has been changed on the host for one interface and would outlive it, on disk before it is
// done, so that whoever comes after a crash can undo it.
//
// The file is /run/vpn/INTERFACE@NAMESPACE.journal: like what it tells of, it does not survive a restart of
// the machine. (What does, /etc/resolv.conf, keeps its former self beside it: see dns_file.h.) A namespace
// may end before it, as that of a container does, and the next has an interface of the same name. Its first
// line names the interface and the namespace; then comes one JSON object a line, {"id":…, "former":…, …the
// change…} before something is done, {"undone":id} after it is undone. A last line that is cut off was never
// acted upon. When many lines tell of what is undone, a file with the others takes its place, where one may
// be made there. Whoever has the file open holds a lock on it.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/journal_text.h"
#include "vpn/io/unique_fd.h"

namespace vpn::host {

class Journal {
 public:
  // Creates the file where there is none; takes the lock. An error when another process still has it after
  // `patience`, or others than root might have written it.
  [[nodiscard]] static Result<Journal, Error> open(const std::string& interface,
                                                   std::chrono::milliseconds patience);
  // The same of a file with any path.
  [[nodiscard]] static Result<Journal, Error> open_file(const std::string& path, const std::string& interface,
                                                        std::chrono::milliseconds patience);
  // The interfaces of this network namespace that have a journal, sorted.
  [[nodiscard]] static std::vector<std::string> interfaces();
  // The files of other network namespaces that no process has open. Whether those are gone cannot be told.
  [[nodiscard]] static std::vector<std::string> files_of_other_namespaces();

  // What the interface's journal tells of that is done and not undone, without taking it; nothing where it
  // cannot be read.
  [[nodiscard]] static std::vector<JournalEntry> standing(const std::string& interface);

  // Whether a process has the interface's journal open.
  [[nodiscard]] static bool is_locked(const std::string& interface) noexcept;
  // The same of an interface of this name in another network namespace.
  [[nodiscard]] static bool is_locked_elsewhere(const std::string& interface);

  // What was done and not undone when the file was opened, in the order of doing.
  [[nodiscard]] const std::vector<JournalEntry>& found() const noexcept { return contents_.standing; }
  // Names that were resolved when the file was opened: "host:port" → "address:port …".
  [[nodiscard]] const std::map<std::string, std::string>& addresses() const noexcept {
    return contents_.addresses;
  }

  // On disk when it returns; gives every entry its id. Nothing may be done before. After an error the file is
  // as it was.
  [[nodiscard]] Result<bool, Error> announce(std::vector<JournalEntry>& entries);
  void note_undone(uint64_t id) noexcept;
  // As addresses() has them. What is new of them is on disk when it returns, all at once: a gateway has
  // thousands of peers, and a disk takes milliseconds each time.
  void note_addresses(const std::map<std::string, std::string>& addresses) noexcept;
  // Everything is undone: removes the file, or empties it where it cannot be removed.
  void remove() noexcept;

 private:
  Journal(std::string path, io::UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}
  [[nodiscard]] bool append(const std::string& text) noexcept;
  void compact_when_long() noexcept;
  [[nodiscard]] Result<bool, Error> read(const std::string& interface);

  std::string path_;
  io::UniqueFd file_;
  JournalContents contents_;
  std::string header_;                     // the first line
  std::map<uint64_t, std::string> lines_;  // of what stands, by its id
  size_t appended_count_ = 0;              // lines, since there were only those that count
};

}  // namespace vpn::host
