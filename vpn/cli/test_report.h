// For tests: a report with everything in it.
#pragma once

#include "vpn/config/text.h"
#include "vpn/config/uapi.h"

namespace vpn::cli {

// The instant for which the ages of example_report() are made.
inline constexpr int64_t kExampleTime = 1'800'000'000;

// The private key of RFC 7748 section 6.1 and two peers: "laptop", busy, and one that never called.
inline config::DeviceReport example_report() {
  config::DeviceReport report;
  report.private_key = config::key_from_base64("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=");
  report.listen_port = 51820;
  report.fwmark = 0xca6c;
  report.version = "0.1.0";
  report.tun_offload = "tso uso";
  report.udp_offload = "gso gro";
  report.counters = {{"drop_bad_mac1", 3},   {"drop_replayed", 12}, {"drop_no_route", 0},
                     {"sent_datagrams", 99}, {"send_no_buffer", 1}, {"drop_of_the_future", 2}};
  config::PeerReport silent;
  silent.public_key =
      config::to_public_key(*config::key_from_base64("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="));
  config::PeerReport laptop;
  laptop.public_key =
      config::to_public_key(*config::key_from_base64("xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="));
  laptop.name = "laptop";
  laptop.preshared_key = *report.private_key;
  laptop.endpoint = UdpAddress::parse("192.0.2.3:40000");
  laptop.persistent_keepalive = 25;
  laptop.last_handshake_seconds = kExampleTime - 63;
  laptop.received_bytes = 5'000'000;
  laptop.sent_bytes = 1000;
  laptop.allowed_ips = {*IpPrefix::parse("10.0.0.2/32"), *IpPrefix::parse("fd00::2/128")};
  laptop.cipher = config::Cipher::kAes256Gcm;
  laptop.rekey_after_bytes = 64 << 20;
  laptop.rekey_after_time = std::chrono::seconds(60);
  laptop.staged_packets = 1;
  laptop.roamed_count = 2;
  laptop.sessions = {{"previous", true, std::chrono::seconds(123), 77},
                     {"current", false, std::chrono::seconds(3), 1}};
  laptop.endpoint_history = {{*UdpAddress::parse("192.0.2.2:40000"), kExampleTime - 500}};
  report.peers = {silent, laptop};
  return report;
}

}  // namespace vpn::cli
