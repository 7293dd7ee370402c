// vpn invite: a new peer for a server: its keys, its address, its whole file, and a QR code of that.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

#include "vpn/cli/control_client.h"
#include "vpn/cli/invitation.h"
#include "vpn/cli/keys.h"
#include "vpn/cli/qr_text.h"
#include "vpn/cli/verbs.h"
#include "vpn/config/ini.h"
#include "vpn/config/text.h"
#include "vpn/daemon/config_file.h"
#include "vpn/daemon/text_file.h"

namespace vpn::cli {
namespace {

struct InviteOptions {
  std::string server;
  std::string name, endpoint, output, qr = "auto";
  std::string socket_folder = ControlClient::default_folder();
  std::vector<std::string> addresses, allowed_ips, dns;
  uint16_t keepalive = 25;
  bool full_tunnel = false, no_preshared_key = false, only_file = false, only_daemon = false;
};

// Reads every item of a repeatable option that may also hold lists.
template <typename T, typename Parse>
Result<std::vector<T>, Error> read_list(const std::vector<std::string>& texts, const char* option,
                                        const char* what, Parse parse) {
  std::vector<T> values;
  for (const std::string& text : texts) {
    for (const std::string_view item : config::split_list(text)) {
      const auto value = parse(item);
      if (!value)
        return fail(Error{"", 0, option, "'" + std::string(item) + "' is not " + what, "correct it"});
      values.push_back(*value);
    }
  }
  return values;
}

Result<InvitationRequest, Error> to_request(const InviteOptions& options) {
  InvitationRequest request;
  if (config::has_control_character(options.name) || options.name.find('#') != std::string::npos) {
    return fail(Error{"", 0, "--name", "has a control character or '#' in it", "choose another name"});
  }
  request.name = config::trim(options.name);
  request.endpoint = options.endpoint;
  request.persistent_keepalive = options.keepalive;
  request.preshared_key = !options.no_preshared_key;
  auto addresses = read_list<IpAddress>(options.addresses, "--address", "an IP address", IpAddress::parse);
  if (!addresses) return fail(addresses.error());
  auto allowed = read_list<IpPrefix>(options.allowed_ips, "--allowed-ips", "a network", IpPrefix::parse);
  if (!allowed) return fail(allowed.error());
  auto dns = read_list<IpAddress>(options.dns, "--dns", "an IP address", IpAddress::parse);
  if (!dns) return fail(dns.error());
  request.addresses = std::move(*addresses);
  for (const IpPrefix& prefix : *allowed) request.allowed_ips.push_back(prefix.normalized());
  if (options.full_tunnel) request.allowed_ips = {*IpPrefix::parse("0.0.0.0/0"), *IpPrefix::parse("::/0")};
  request.dns = std::move(*dns);
  return request;
}

// The daemon that runs the server's interface, if it is to be told.
struct RunningDaemon {
  std::string interface;
  config::DeviceReport report;
};

Result<std::optional<RunningDaemon>, Error> find_daemon(const InviteOptions& options,
                                                        const ControlClient& client, const std::string& path,
                                                        const config::Config& server) {
  if (options.only_file) return std::nullopt;
  const auto interface = daemon::interface_of(path);
  if (!interface) return fail(interface.error());
  const std::vector<std::string> running = client.interfaces();
  if (std::find(running.begin(), running.end(), *interface) == running.end() && !options.only_daemon) {
    return std::nullopt;
  }
  auto report = client.get(*interface);
  if (!report) return fail(report.error());
  if (public_key_of(report->private_key) != public_key_of(server.interface.private_key)) {
    return fail(Error{*interface, 0, "", "the running daemon has another private key than " + path,
                      "reload it, or give --only-file"});
  }
  return RunningDaemon{*interface, std::move(*report)};
}

std::vector<IpPrefix> allowed_ips_of(const std::optional<RunningDaemon>& running) {
  std::vector<IpPrefix> all;
  if (!running) return all;
  for (const config::PeerReport& peer : running->report.peers) {
    all.insert(all.end(), peer.allowed_ips.begin(), peer.allowed_ips.end());
  }
  return all;
}

config::DeviceChange change_for(const config::PeerConfig& peer, bool remove) {
  config::DeviceChange change;
  config::PeerChange& one = change.peers.emplace_back(peer.public_key);
  one.remove = remove;
  if (remove) return change;
  one.preshared_key = peer.preshared_key;
  one.replace_allowed_ips = true;
  for (const IpPrefix& prefix : peer.allowed_ips) one.allowed_ips.push_back({prefix, false});
  return change;
}

// Puts the invitation into effect: the client's file, the daemon, the server's file, in this order; what was
// done is taken back when a later step fails.
Result<void, Error> apply(const InviteOptions& options, const ControlClient& client,
                          const Invitation& invitation, const std::optional<RunningDaemon>& running,
                          const std::string& path, const daemon::TextFile& file, const std::string& output) {
  const daemon::SecretText client_text(config::to_ini(invitation.client));
  const daemon::SecretText server_text = with_peer(file.text.view(), invitation.peer);
  if (auto written = daemon::write_new_file(output, client_text.view()); !written) return written;
  if (running) {
    if (auto told = client.set(running->interface, change_for(invitation.peer, false)); !told) {
      unlink(output.c_str());
      return told;
    }
  }
  if (options.only_daemon) return {};
  auto replaced = daemon::replace_file(path, server_text.view(), file.status);
  if (!replaced) {
    unlink(output.c_str());
    if (running) (void)client.set(running->interface, change_for(invitation.peer, true));
  }
  return replaced;
}

std::string summary(const InviteOptions& options, const Invitation& invitation,
                    const std::optional<RunningDaemon>& running, const std::string& path,
                    const std::string& output) {
  std::string addresses;
  for (const IpPrefix& prefix : invitation.peer.allowed_ips) {
    addresses += (addresses.empty() ? "" : ", ") + prefix.address.to_string();
  }
  std::string places = options.only_daemon ? "" : path;
  if (running) places += (places.empty() ? "" : " and ") + ("the running " + running->interface);
  return "peer " + config::to_base64(invitation.peer.public_key.bytes) + "\naddress " + addresses +
         "\nadded to " + places + "\nclient file " + output +
         " (it holds the private key: hand it over safely, then remove it)\n";
}

int run_invite(const InviteOptions& options, Io& io) {
  const std::string path = daemon::config_path(options.server);
  const ControlClient client(options.socket_folder);
  const auto request = to_request(options);
  if (!request) return report_error(request.error(), io);
  const auto lock = daemon::FileLock::take(path);
  if (!lock) return report_error(lock.error(), io);
  const auto file = daemon::read_text_file(path);
  if (!file) return report_error(file.error(), io);
  const auto server = config::parse_ini(file->text.view(), path);
  if (!server) return report_error(server.error(), io);
  const auto running = find_daemon(options, client, path, *server);
  if (!running) return report_error(running.error(), io);
  const auto invitation = make_invitation(*server, path, allowed_ips_of(*running), *request);
  if (!invitation) return report_error(invitation.error(), io);

  const bool to_terminal = io.out_fd >= 0 && isatty(io.out_fd) == 1;
  daemon::SecretText code;
  if (options.qr == "always" || (options.qr == "auto" && to_terminal)) {
    auto drawn = qr_text(daemon::SecretText(config::to_ini(invitation->client)).view());
    if (!drawn) return report_error(drawn.error(), io);
    code = std::move(*drawn);
  }
  const std::string output = options.output.empty() ? client_file_name(*invitation) : options.output;
  if (const auto done = apply(options, client, *invitation, *running, path, *file, output); !done) {
    return report_error(done.error(), io);
  }
  io.out << code.view() << summary(options, *invitation, *running, path, output);
  return kFine;
}

}  // namespace

void add_invite_verb(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("invite", "Make a new peer: keys, address, client file and QR code");
  const auto options = std::make_shared<InviteOptions>();
  verb->add_option("FILE", options->server, "The server's file, or the name of one in /etc/wireguard")
      ->required()
      ->type_name("");
  verb->add_option("--endpoint", options->endpoint,
                   "Where the client reaches the server; the port is ListenPort when left out")
      ->required()
      ->type_name("HOST[:PORT]");
  verb->add_option("--name", options->name,
                   "A name for the peer, written as Name, which wg-quick does not know; without it wg-quick "
                   "can still read "
                   "the server's file")
      ->type_name("TEXT");
  verb->add_option("--address", options->addresses,
                   "The client's addresses; the next free ones when left out")
      ->type_name("ADDRESS")
      ->allow_extra_args(false);
  CLI::Option* allowed =
      verb->add_option("--allowed-ips", options->allowed_ips,
                       "What the client sends through the tunnel; the server's networks when left out")
          ->type_name("ADDRESS/LENGTH")
          ->allow_extra_args(false);
  verb->add_flag("--full-tunnel", options->full_tunnel, "The client sends everything through the tunnel")
      ->excludes(allowed);
  verb->add_option("--dns", options->dns, "Name servers for the client")
      ->type_name("ADDRESS")
      ->allow_extra_args(false);
  verb->add_option("--keepalive", options->keepalive, "PersistentKeepalive of the client, 0 for none")
      ->type_name("SECONDS")
      ->capture_default_str();
  verb->add_flag("--no-preshared-key", options->no_preshared_key, "Make no preshared key");
  verb->add_option("-o,--output", options->output, "The client's file, mode 0600; NAME.conf when left out")
      ->type_name("FILE");
  verb->add_option("--qr", options->qr, "Draw the client's file as a QR code; auto: on a terminal")
      ->type_name("auto|always|never")
      ->check(CLI::Validator(CLI::IsMember({"auto", "always", "never"})).description(""))
      ->capture_default_str();
  CLI::Option* only_file =
      verb->add_flag("--only-file", options->only_file, "Do not tell the running daemon");
  verb->add_flag("--only-daemon", options->only_daemon,
                 "Tell the running daemon only: the peer lasts until it ends")
      ->excludes(only_file);
  verb->add_option("--socket-dir", options->socket_folder, "Where the control sockets lie")
      ->type_name("DIR")
      ->capture_default_str();
  verb->footer("Example: vpn invite wg0 --endpoint vpn.example.org --output laptop.conf");
  verb->callback([options, &chosen] { chosen = [options](Io& io) { return run_invite(*options, io); }; });
}

}  // namespace vpn::cli
