// Complete handshakes with every secret fixed, byte for byte against vectors/handshakes.json, which a Python
// script computed independently (vectors/make_handshakes.py). C2, M3.1, M3.2, M4.1.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vpn/core/session.h"
#include "vpn/noise/cookie.h"
#include "vpn/noise/handshake.h"
#include "vpn/wire/messages.h"

namespace vpn {
namespace {

using nlohmann::json;
using Bytes = std::vector<uint8_t>;

Bytes unhex(const json& text) {
  const auto digits = text.get<std::string>();
  Bytes bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string hex(BytesView bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

Secret<32> secret(const json& text) {
  return Secret<32>(fixed_view<32>(unhex(text)));
}

PublicKey public_key(const json& text) {
  PublicKey key;
  copy_bytes(unhex(text), key.bytes);
  return key;
}

template <typename Message>
Message parse(BytesView bytes) {
  const auto message = wire::parse(bytes);
  EXPECT_TRUE(message && std::holds_alternative<Message>(*message));
  return std::get<Message>(*message);
}

json load_vectors() {
  std::ifstream file(HANDSHAKE_VECTORS);
  return json::parse(file).at("vectors");
}

class HandshakeVectors : public ::testing::TestWithParam<size_t> {
 protected:
  // Both ends of the vector's handshake.
  struct Ends {
    explicit Ends(const json& vector)
        : suite(vector.at("suite") == crypto::suite_name(crypto::Suite::kAes256Gcm)
                    ? crypto::Suite::kAes256Gcm
                    : crypto::Suite::kChaCha20Poly1305),
          initiator(secret(vector.at("initiator").at("private"))),
          responder(secret(vector.at("responder").at("private"))),
          at_initiator(responder.public_key()),
          at_responder(initiator.public_key()) {
      for (noise::RemoteIdentity* remote : {&at_initiator, &at_responder}) {
        remote->set_preshared_key(secret(vector.at("preshared_key")));
      }
      at_initiator.pair_with(&initiator);
      at_responder.pair_with(&responder);
    }

    crypto::Suite suite;
    noise::LocalIdentity initiator, responder;
    noise::RemoteIdentity at_initiator, at_responder;  // what each knows of the other
  };

  const json vector_ = load_vectors().at(GetParam());
  const crypto::AeadSet aeads_ = crypto::select_aeads();
};

TEST_P(HandshakeVectors, MatchByteForByte) {
  Ends ends(vector_);
  const json& initiator = vector_.at("initiator");
  const json& responder = vector_.at("responder");
  EXPECT_EQ(noise::construction_name(ends.suite), vector_.at("construction").get<std::string>());
  EXPECT_EQ(ends.initiator.public_key(), public_key(initiator.at("public")));
  EXPECT_EQ(ends.responder.public_key(), public_key(responder.at("public")));
  const noise::Timestamp timestamp = noise::make_timestamp(
      {vector_.at("unix_seconds").get<int64_t>(), vector_.at("unix_nanoseconds").get<uint32_t>()});
  EXPECT_EQ(hex(timestamp), vector_.at("tai64n").get<std::string>());

  std::array<uint8_t, wire::kInitiationBytes> initiation;
  const auto sent = noise::create_initiation(
      aeads_, ends.suite, ends.initiator, ends.at_initiator, secret(initiator.at("ephemeral_private")),
      SessionIndex{initiator.at("index").get<uint32_t>()}, timestamp, initiation);
  ASSERT_TRUE(sent);
  noise::write_macs(initiation, ends.at_initiator.mac1_key(), nullptr);
  EXPECT_EQ(hex(initiation), vector_.at("initiation").get<std::string>());

  const Bytes given_initiation = unhex(vector_.at("initiation"));
  EXPECT_TRUE(noise::verify_mac1(given_initiation, ends.responder.mac1_key()));
  const auto message = parse<wire::Initiation>(given_initiation);
  const auto opened = noise::open_initiation(aeads_, ends.responder, message);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->suite, ends.suite);
  EXPECT_EQ(opened->remote_static, ends.initiator.public_key());
  const auto proven = noise::authenticate_initiation(aeads_, *opened, ends.at_responder, message);
  ASSERT_TRUE(proven);
  EXPECT_EQ(proven->timestamp, timestamp);

  std::array<uint8_t, wire::kResponseBytes> response;
  const auto responder_keys =
      noise::create_response(aeads_, *proven, ends.at_responder, secret(responder.at("ephemeral_private")),
                             SessionIndex{responder.at("index").get<uint32_t>()}, response);
  ASSERT_TRUE(responder_keys);
  noise::write_macs(response, ends.at_responder.mac1_key(), nullptr);
  EXPECT_EQ(hex(response), vector_.at("response").get<std::string>());

  const Bytes given_response = unhex(vector_.at("response"));
  EXPECT_TRUE(noise::verify_mac1(given_response, ends.initiator.mac1_key()));
  const auto initiator_keys = noise::consume_response(aeads_, *sent, ends.initiator, ends.at_initiator,
                                                      parse<wire::Response>(given_response));
  ASSERT_TRUE(initiator_keys);

  const auto initiator_key = vector_.at("initiator_sends_with").get<std::string>();
  const auto responder_key = vector_.at("responder_sends_with").get<std::string>();
  EXPECT_EQ(hex(initiator_keys->send.view()), initiator_key);
  EXPECT_EQ(hex(initiator_keys->receive.view()), responder_key);
  EXPECT_EQ(hex(responder_keys->send.view()), responder_key);
  EXPECT_EQ(hex(responder_keys->receive.view()), initiator_key);
}

TEST_P(HandshakeVectors, DataMessagesMatchOnEveryBackend) {
  const Ends ends(vector_);
  const SessionIndex initiator{vector_.at("initiator").at("index").get<uint32_t>()};
  const SessionIndex responder{vector_.at("responder").at("index").get<uint32_t>()};
  const crypto::AeadSecret initiator_key = secret(vector_.at("initiator_sends_with"));
  const crypto::AeadSecret responder_key = secret(vector_.at("responder_sends_with"));
  size_t backends = 0;
  for (const auto backend :
       {crypto::Backend::kIpsecMb, crypto::Backend::kLibsodium, crypto::Backend::kOpenssl}) {
    const auto aead = crypto::make_aead(backend, ends.suite);
    if (!aead) continue;
    ++backends;
    const core::Session at_initiator(PeerId{1}, true, initiator, responder, ends.suite,
                                     {aead->make_key(initiator_key), aead->make_key(responder_key)},
                                     Instant{});
    const core::Session at_responder(PeerId{1}, false, responder, initiator, ends.suite,
                                     {aead->make_key(responder_key), aead->make_key(initiator_key)},
                                     Instant{});
    for (const json& data : vector_.at("data")) {
      const bool from_initiator = data.at("sender") == "initiator";
      const Counter counter = data.at("counter").get<uint64_t>();
      const Bytes packet = unhex(data.at("packet"));
      Bytes padded = packet;
      padded.resize((packet.size() + 15) / 16 * 16);
      Bytes datagram(wire::kDataOverheadBytes + padded.size());
      (from_initiator ? at_initiator : at_responder).seal(*aead, counter, padded, datagram);
      EXPECT_EQ(hex(datagram), data.at("message").get<std::string>()) << aead->backend_name();

      EXPECT_EQ(parse<wire::Data>(datagram).counter, counter);
      const auto plain = (from_initiator ? at_responder : at_initiator).open(*aead, counter, datagram);
      ASSERT_TRUE(plain) << aead->backend_name();
      EXPECT_EQ(hex(*plain), hex(padded));
    }
  }
  EXPECT_GE(backends, 2U);
}

TEST_P(HandshakeVectors, CookiesMatchByteForByte) {
  const Ends ends(vector_);
  struct Case {
    const char* cookie;
    const char* message;
    const noise::LocalIdentity& asker;      // the one under load
    const noise::RemoteIdentity& at_asked;  // the asker, as the other end knows it
    const char* asked;
  };
  for (const Case& c :
       {Case{"initiation_cookie", "initiation", ends.responder, ends.at_initiator, "initiator"},
        Case{"response_cookie", "response", ends.initiator, ends.at_responder, "responder"}}) {
    const json& given = vector_.at(c.cookie);
    const Bytes address = unhex(given.at("source_address"));
    const UdpAddress source{address.size() == 4 ? IpAddress::ipv4(fixed_view<4>(address))
                                                : IpAddress::ipv6(fixed_view<16>(address)),
                            given.at("source_port").get<uint16_t>(), 0};
    const noise::Cookie cookie = noise::make_cookie(secret(given.at("secret")), source);
    EXPECT_EQ(hex(cookie.view()), given.at("cookie").get<std::string>());

    Bytes message = unhex(vector_.at(c.message));
    const BytesView mac1 = BytesView(message).last(32).first(16);
    std::array<uint8_t, wire::kCookieReplyBytes> reply;
    noise::create_cookie_reply(
        c.asker.cookie_key(), cookie, fixed_view<crypto::kXNonceBytes>(unhex(given.at("nonce"))),
        SessionIndex{vector_.at(c.asked).at("index").get<uint32_t>()}, fixed_view<16>(mac1), reply);
    EXPECT_EQ(hex(reply), given.at("reply").get<std::string>());

    const Bytes given_reply = unhex(given.at("reply"));
    const auto opened = noise::open_cookie_reply(c.at_asked.cookie_key(), fixed_view<16>(mac1),
                                                 parse<wire::CookieReply>(given_reply));
    ASSERT_TRUE(opened);
    EXPECT_EQ(hex(opened->view()), given.at("cookie").get<std::string>());

    noise::write_macs(message, c.at_asked.mac1_key(), &*opened);
    EXPECT_EQ(hex(message), given.at("message_with_mac2").get<std::string>());
    EXPECT_TRUE(noise::verify_mac2(message, cookie));
  }
}

INSTANTIATE_TEST_SUITE_P(All, HandshakeVectors, ::testing::Range<size_t>(0, load_vectors().size()),
                         [](const auto& run) { return "Vector" + std::to_string(run.param); });

TEST(HandshakeVectorFile, CoversBothSuitesWithAndWithoutPresharedKey) {
  std::vector<std::string> names;
  for (const json& vector : load_vectors()) names.push_back(vector.at("name").get<std::string>());
  EXPECT_EQ(names, (std::vector<std::string>{"ChaCha20-Poly1305, without PSK", "ChaCha20-Poly1305, with PSK",
                                             "AES-256-GCM, without PSK", "AES-256-GCM, with PSK"}));
}

}  // namespace
}  // namespace vpn
