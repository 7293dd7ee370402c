// Error: why something on the control path failed, told so that its reader can mend it.
#pragma once

#include <string>
#include <utility>

namespace vpn {

struct Error {
  std::string where;     // file, device or address that it is about; may be empty
  int line = 0;          // in `where`, from 1; 0: not about a line
  std::string key;       // the key of that line, or the command-line option; may be empty
  std::string problem;   // what is wrong, in one clause
  std::string remedy;    // what to do about it, in one clause; may be empty
  int error_number = 0;  // the errno for who asks by a protocol that has nothing else; 0: not known

  // "wg0.conf:3: PrivateKey: not a key; remedy: …", always one line.
  [[nodiscard]] std::string to_string() const {
    std::string text = where;
    if (line > 0) text += ":" + std::to_string(line);
    if (!text.empty()) text += ": ";
    if (!key.empty()) text += key + ": ";
    text += problem;
    if (!remedy.empty()) text += "; remedy: " + remedy;
    for (char& character : text) {
      if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f) character = '?';
    }
    return text;
  }
};

}  // namespace vpn
