#include "vpn/cli/invitation.h"

#include <algorithm>
#include <array>

#include "vpn/cli/keys.h"
#include "vpn/config/ini.h"
#include "vpn/config/text.h"

namespace vpn::cli {
namespace {

constexpr size_t kLongestInterfaceName = 15;

IpAddress from_bytes(BytesView bytes) noexcept {
  return bytes.size() == 4 ? IpAddress::ipv4(fixed_view<4>(bytes)) : IpAddress::ipv6(fixed_view<16>(bytes));
}

// The address behind this one; the first of all behind the last.
IpAddress next_address(const IpAddress& address) noexcept {
  std::array<uint8_t, 16> bytes{};
  const size_t size = address.bytes().size();
  copy_bytes(address.bytes(), bytes);
  for (size_t i = size; i-- > 0;) {
    if (++bytes[i] != 0) break;
  }
  return from_bytes(BytesView(bytes).first(size));
}

IpAddress last_address(const IpPrefix& prefix) noexcept {
  std::array<uint8_t, 16> bytes{};
  const size_t size = prefix.address.bytes().size();
  copy_bytes(prefix.address.bytes(), bytes);
  for (unsigned bit = prefix.length; bit < 8 * size; ++bit)
    bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> (bit % 8));
  return from_bytes(BytesView(bytes).first(size));
}

IpPrefix whole(const IpAddress& address) noexcept {
  return {address, static_cast<uint8_t>(address.bit_count())};
}

std::optional<config::EndpointName> parse_server_endpoint(const std::string& text, uint16_t port) {
  if (auto endpoint = config::EndpointName::parse(text)) return endpoint;
  if (port == 0) return std::nullopt;
  const auto address = IpAddress::parse(text);
  const bool bare_ipv6 = address && !address->is_ipv4();
  return config::EndpointName::parse((bare_ipv6 ? "[" + text + "]" : text) + ":" + std::to_string(port));
}

std::vector<IpPrefix> all_taken(const config::Config& server, std::vector<IpPrefix> taken) {
  for (const IpPrefix& own : server.interface.addresses) taken.push_back(whole(own.address));
  for (const config::PeerConfig& peer : server.peers) {
    taken.insert(taken.end(), peer.allowed_ips.begin(), peer.allowed_ips.end());
  }
  return taken;
}

Result<std::vector<IpAddress>, Error> choose_addresses(const config::Config& server, const std::string& file,
                                                       const std::vector<IpPrefix>& taken,
                                                       const std::vector<IpAddress>& wanted) {
  for (const IpAddress& address : wanted) {
    if (std::find(taken.begin(), taken.end(), whole(address)) != taken.end()) {
      return fail(Error{"", 0, "--address", address.to_string() + " is taken",
                        "give another, or leave the option out"});
    }
  }
  if (!wanted.empty()) return wanted;
  if (server.interface.addresses.empty()) {
    return fail(Error{file, 0, "Address", "missing, so there is no network to take an address from",
                      "add it to [Interface], or give --address"});
  }
  std::vector<IpAddress> addresses;
  for (const IpPrefix& network : server.interface.addresses) {
    const auto address = next_free_address(network, taken);
    if (!address) {
      return fail(Error{file, 0, "Address", "no free address in " + network.normalized().to_string(),
                        "widen the network, remove peers, or give --address"});
    }
    addresses.push_back(*address);
  }
  return addresses;
}

}  // namespace

std::optional<IpAddress> next_free_address(const IpPrefix& network, const std::vector<IpPrefix>& taken) {
  const unsigned bits = network.address.bit_count();
  const bool has_edges =
      network.length + 1u < bits;  // not a point-to-point network of two, nor a single address
  const IpAddress last = last_address(network);
  IpAddress candidate = network.address.masked(network.length);
  if (has_edges) candidate = next_address(candidate);
  // Every turn but the last passes one prefix for good, so there are at most as many.
  for (size_t turn = 0; turn <= taken.size() && network.contains(candidate); ++turn) {
    const auto blocker = std::find_if(taken.begin(), taken.end(), [&](const IpPrefix& prefix) {
      return prefix.contains(candidate) && network.contains(prefix.address) &&
             prefix.length >= network.length;
    });
    const bool is_broadcast = has_edges && network.address.is_ipv4() && candidate == last;
    if (is_broadcast) return std::nullopt;
    if (blocker == taken.end()) return candidate;
    if (last_address(*blocker) == last) return std::nullopt;
    candidate = next_address(last_address(*blocker));
  }
  return std::nullopt;
}

Result<Invitation, Error> make_invitation(const config::Config& server, const std::string& file,
                                          const std::vector<IpPrefix>& taken,
                                          const InvitationRequest& request) {
  const auto server_key = public_key_of(server.interface.private_key);
  if (!server_key) {
    return fail(Error{file, 0, "PrivateKey", "missing, so nobody can be invited",
                      "add the server's key to [Interface]"});
  }
  const auto endpoint = parse_server_endpoint(request.endpoint, server.interface.listen_port);
  if (!endpoint) {
    const bool no_port = server.interface.listen_port == 0;
    return fail(
        Error{"", 0, "--endpoint", "'" + request.endpoint + "' is not an endpoint",
              no_port ? "write HOST:PORT, and give the file that ListenPort" : "write HOST or HOST:PORT"});
  }
  const auto addresses = choose_addresses(server, file, all_taken(server, taken), request.addresses);
  if (!addresses) return fail(addresses.error());

  Invitation invitation;
  config::PeerConfig& gateway = invitation.client.peers.emplace_back();
  invitation.client.interface.private_key = make_private_key();
  invitation.client.interface.dns = request.dns;
  gateway.public_key = *server_key;
  gateway.allowed_ips = request.allowed_ips;
  gateway.endpoints = {*endpoint};
  gateway.persistent_keepalive = request.persistent_keepalive;
  if (gateway.allowed_ips.empty()) {
    for (const IpPrefix& network : server.interface.addresses)
      gateway.allowed_ips.push_back(network.normalized());
  }
  invitation.peer.name = request.name;
  invitation.peer.public_key = *public_key_of(invitation.client.interface.private_key);
  for (const IpAddress& address : *addresses) {
    invitation.client.interface.addresses.push_back(whole(address));
    invitation.peer.allowed_ips.push_back(whole(address));
  }
  if (request.preshared_key) {
    gateway.preshared_key = make_preshared_key();
    invitation.peer.preshared_key = gateway.preshared_key;
  }
  return invitation;
}

std::string client_file_name(const Invitation& invitation) {
  std::string name = invitation.peer.name;
  if (name.empty()) name = "vpn-" + invitation.peer.allowed_ips.front().address.to_string();
  for (char& character : name) {
    if (!config::is_interface_name(std::string_view(&character, 1)) && character != '.') character = '-';
  }
  if (name.size() > kLongestInterfaceName) name.resize(kLongestInterfaceName);
  if (!config::is_interface_name(name)) name = "vpn";  // "." and ".."
  return name + ".conf";
}

daemon::SecretText with_peer(std::string_view text, const config::PeerConfig& peer) {
  config::Config only_peer;
  only_peer.peers = {peer};
  const daemon::SecretText written(config::to_ini(only_peer));
  const std::string_view section = written.view().substr(written.view().find("[Peer]"));
  std::string result;
  result.reserve(text.size() + section.size() + 2);  // no copy is left behind by growing
  result.append(text);
  if (!text.empty() && text.back() != '\n') result += "\n";
  result.append("\n").append(section);
  return daemon::SecretText(std::move(result));
}

}  // namespace vpn::cli
