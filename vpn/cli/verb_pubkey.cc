// vpn pubkey: the public key that belongs to a private one, both in base64, as 'wg pubkey' does it.
#include <CLI/CLI.hpp>
#include <istream>
#include <ostream>

#include "vpn/base/error.h"
#include "vpn/cli/verbs.h"
#include "vpn/config/text.h"
#include "vpn/crypto/x25519.h"
#include "vpn/daemon/secret_text.h"

namespace vpn::cli {
namespace {

constexpr size_t kKeyCharacters = 44;
constexpr size_t kMostCharacters = 4096;  // a key and any blanks around it

daemon::SecretText read_input(std::istream& in) {
  std::string text(kMostCharacters, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return daemon::SecretText(std::move(text));
}

int run_pubkey(Io& io) {
  const daemon::SecretText input = read_input(io.in);
  std::string_view text = input.view();
  const size_t end = text.find_last_not_of(" \t\r\n");
  text = text.substr(0, end == std::string_view::npos ? 0 : end + 1);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  const auto key = config::key_from_base64(text);
  if (!key) {
    const std::string problem = text.size() == kKeyCharacters
                                    ? "not a key in base64"
                                    : std::to_string(text.size()) + " characters where a key has 44";
    return report_error({"standard input", 0, "", problem, "give a private key, as 'vpn genkey' prints"}, io);
  }
  Secret<32> clamped = *key;  // zeros are a private key here, as for 'wg pubkey'
  crypto::clamp(clamped.mutable_view());
  io.out << config::to_base64(crypto::derive_public_key(clamped.view()).bytes) << "\n";
  return kFine;
}

}  // namespace

void add_pubkey_verb(CLI::App& app, Action& chosen) {
  CLI::App* verb =
      app.add_subcommand("pubkey", "Read a private key from standard input and print its public key");
  verb->footer("Example: vpn pubkey < private.key > public.key");
  verb->callback([&chosen] { chosen = run_pubkey; });
}

}  // namespace vpn::cli
