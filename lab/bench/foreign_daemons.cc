#include "lab/bench/foreign_daemons.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "lab/bench/child_process.h"
#include "lab/bench/lane.h"
#include "lab/run/tunnels.h"

namespace lab::bench {
namespace {

constexpr char kInterface[] = "bench0";
constexpr long kCertificateSeconds = 86'400;

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

struct Certificate {
  std::string certificate;
  std::string key;
  std::string fingerprint;  // SHA-256, "AB:CD:…"
};

template <typename Write>
std::string to_pem(Write write) {
  const std::unique_ptr<BIO, Free<BIO_free>> memory(BIO_new(BIO_s_mem()));
  if (!memory || write(memory.get()) != 1) return "";
  char* text = nullptr;
  const long length = BIO_get_mem_data(memory.get(), &text);
  return {text, static_cast<size_t>(length)};
}

Result<Certificate> make_certificate() {
  const std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, Free<X509_free>> certificate(X509_new());
  const auto give_up = [] { return fail("openvpn", "its certificate could not be made"); };
  if (!key || !certificate) return give_up();
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kCertificateSeconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kCertificateSeconds);
  X509_NAME* const name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("bench"), -1,
                             -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  if (X509_set_pubkey(certificate.get(), key.get()) != 1 ||
      X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0) {
    return give_up();
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (X509_digest(certificate.get(), EVP_sha256(), digest, &length) != 1) return give_up();
  Certificate made;
  for (unsigned index = 0; index < length; ++index) {
    made.fingerprint += fmt::format("{}{:02X}", index == 0 ? "" : ":", digest[index]);
  }
  made.certificate = to_pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate.get()); });
  made.key = to_pem([&](BIO* out) {
    return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  if (made.certificate.empty() || made.key.empty()) return give_up();
  return made;
}

std::string openvpn_configuration(size_t end, const Certificate& own, const Certificate& other) {
  const size_t far = 1 - end;
  return fmt::format(
      "dev {}\ndev-type tun\ntopology p2p\nifconfig {} {}\nifconfig-noexec\n"
      "proto udp4\nlocal {}\nlport 1194\nremote {} 1194\n{}\n"
      "data-ciphers AES-256-GCM\ndata-ciphers-fallback AES-256-GCM\n"
      "peer-fingerprint {}\n<cert>\n{}</cert>\n<key>\n{}</key>\n"
      "tun-mtu {}\nmssfix 0\nfast-io\nsndbuf 1048576\nrcvbuf 1048576\ntxqueuelen 1000\ndisable-dco\nverb 1\n",
      kInterface, kTunnelAddresses[end], kTunnelAddresses[far], kLinkAddresses[end], kLinkAddresses[far],
      end == 0 ? "tls-client" : "tls-server\ndh none", other.fingerprint, own.certificate, own.key,
      kTunnelMtu);
}

struct FastdKey {
  std::string secret;
  std::string open;
};

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

Result<FastdKey> make_fastd_key(const std::string& program) {
  const auto secret = output_of({program, "--generate-key", "--machine-readable"});
  if (!secret) return fail(secret.error());
  FastdKey key{first_line(*secret), ""};
  const auto open = output_of({program, "--show-key", "--machine-readable", "--config", "-"},
                              fmt::format("secret \"{}\";\n", key.secret));
  if (!open) return fail(open.error());
  key.open = first_line(*open);
  return key;
}

}  // namespace

Result<ForeignPair> openvpn_pair() {
  const auto program = find_program("openvpn");
  if (!program) return fail(program.error());
  const auto left = make_certificate();
  if (!left) return fail(left.error());
  const auto right = make_certificate();
  if (!right) return fail(right.error());
  ForeignPair pair;
  pair.interface = kInterface;
  pair.ends[0] = {{*program, "--config", "/dev/stdin"}, openvpn_configuration(0, *left, *right)};
  pair.ends[1] = {{*program, "--config", "/dev/stdin"}, openvpn_configuration(1, *right, *left)};
  return pair;
}

Result<ForeignPair> fastd_pair(const std::string& method) {
  const auto program = find_program("fastd");
  if (!program) return fail(program.error());
  std::array<FastdKey, 2> keys;
  for (FastdKey& key : keys) {
    auto made = make_fastd_key(*program);
    if (!made) return fail(made.error());
    key = std::move(*made);
  }
  ForeignPair pair;
  pair.interface = kInterface;
  for (size_t end = 0; end < 2; ++end) {
    const size_t far = 1 - end;
    pair.ends[end] = {{*program, "--config", "-"},
                      fmt::format("mode tun;\ninterface \"{}\";\nbind {}:10000;\nmethod \"{}\";\nmtu {};\n"
                                  "secret \"{}\";\npeer \"far\" {{ key \"{}\"; remote {}:10000; }}\n",
                                  kInterface, kLinkAddresses[end], method, kTunnelMtu, keys[end].secret,
                                  keys[far].open, kLinkAddresses[far])};
  }
  return pair;
}

}  // namespace lab::bench
