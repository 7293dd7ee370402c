// Every backend and suite against published vectors, against an oracle, and against hostile packets (M4.1,
// M4.2, S2).
#include "vpn/crypto/aead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include "vpn/crypto/aead_nonce.h"
#include "vpn/crypto/test_support.h"

namespace vpn::crypto {
namespace {

using test::from_hex;
using test::GuardedMemory;
using test::oracle_seal;
using test::SeededBytes;
using test::to_hex;
using test::to_vector;

using Bytes = std::vector<uint8_t>;

AeadSecret secret_of(BytesView bytes) {
  return AeadSecret(fixed_view<kKeyBytes>(bytes));
}

// Whether `memory` holds 8 bytes of `plain` where they would stand if it were opened. For plaintexts of
// random bytes.
bool holds_any_of(BytesView memory, BytesView plain) {
  constexpr size_t kRun = 8;
  const size_t size = std::min(memory.size(), plain.size());
  for (size_t start = 0; start + kRun <= size; start += kRun) {
    if (std::ranges::equal(plain.subspan(start, kRun), memory.subspan(start, kRun))) return true;
  }
  return false;
}

class AeadTest : public testing::TestWithParam<test::BackendSuite> {
 protected:
  void SetUp() override {
    aead_ = make_aead(GetParam().backend, GetParam().suite);
    if (aead_ == nullptr) GTEST_SKIP() << "this machine has no such backend";
    key_ = aead_->make_key(secret_);
  }

  Bytes seal(Counter counter, BytesView associated, BytesView plain) {
    Bytes sealed(plain.size() + kTagBytes);
    aead_->seal(*key_, counter, associated, plain, sealed);
    return sealed;
  }

  // Opens with a buffer of its own. When it is refused, nothing of `plain` may be in the buffer.
  testing::AssertionResult refuses(const AeadKey& key, Counter counter, BytesView associated,
                                   BytesView sealed, BytesView plain) {
    Bytes opened(sealed.size() < kTagBytes ? 0 : sealed.size() - kTagBytes, 0xee);
    if (aead_->open(key, counter, associated, sealed, opened))
      return testing::AssertionFailure() << "accepted";
    if (holds_any_of(opened, plain))
      return testing::AssertionFailure() << "refused, but left plaintext behind";
    return testing::AssertionSuccess();
  }

  SeededBytes random_{7};
  AeadSecret secret_ = secret_of(random_(kKeyBytes));
  std::unique_ptr<Aead> aead_;
  std::unique_ptr<AeadKey> key_;
};

struct Vector {
  Suite suite;
  const char* source;
  const char* key;
  Counter counter;
  const char* associated;
  const char* plain;
  const char* sealed;
};

// Of the published vectors, those whose nonce begins with four zero bytes, as every nonce of a counter does.
const Vector kVectors[] = {
    {Suite::kChaCha20Poly1305, "RFC 8439, appendix A.5 (nonce 00000000 0102030405060708)",
     "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0", 0x0807060504030201,
     "f33388860000000000004e91",
     "496e7465726e65742d4472616674732061726520647261667420646f63756d656e74732076616c696420666f722061206d61786"
     "96d756d"
     "206f6620736978206d6f6e74687320616e64206d617920626520757064617465642c207265706c616365642c206f72206f62736"
     "f6c6574"
     "6564206279206f7468657220646f63756d656e747320617420616e792074696d652e20497420697320696e617070726f7072696"
     "1746520"
     "746f2075736520496e7465726e65742d447261667473206173207265666572656e6365206d6174657269616c206f7220746f206"
     "3697465"
     "207468656d206f74686572207468616e206173202fe2809c776f726b20696e2070726f67726573732e2fe2809d",
     "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73"
     "c321b01"
     "00d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c1863"
     "24e2b35"
     "06383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4"
     "534d7f8"
     "3fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a107"
     "3a67276"
     "27097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cb"
     "b223923"
     "36fea1851f38"},
    {Suite::kAes256Gcm, "The Galois/Counter Mode of Operation (McGrew, Viega; NIST), test case 13",
     "0000000000000000000000000000000000000000000000000000000000000000", 0, "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {Suite::kAes256Gcm, "The Galois/Counter Mode of Operation (McGrew, Viega; NIST), test case 14",
     "0000000000000000000000000000000000000000000000000000000000000000", 0, "",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
};

TEST_P(AeadTest, PublishedVectors) {
  for (const Vector& vector : kVectors) {
    if (vector.suite != GetParam().suite) continue;
    SCOPED_TRACE(vector.source);
    const auto key = aead_->make_key(secret_of(from_hex(vector.key)));
    const Bytes associated = from_hex(vector.associated);
    const Bytes plain = from_hex(vector.plain);
    const Bytes sealed = from_hex(vector.sealed);
    Bytes ours(plain.size() + kTagBytes);
    aead_->seal(*key, vector.counter, associated, plain, ours);
    EXPECT_EQ(to_hex(ours), vector.sealed);
    Bytes opened(plain.size());
    EXPECT_TRUE(aead_->open(*key, vector.counter, associated, sealed, opened));
    EXPECT_EQ(opened, plain);
  }
}

// Every size a packet can have and more, in memory that ends at a guard page.
TEST_P(AeadTest, EverySizeAgreesWithTheOracleAndStaysInItsBuffers) {
  constexpr size_t kLongest = 65535;
  GuardedMemory plain_memory(kLongest);
  GuardedMemory associated_memory(kLongest);
  GuardedMemory sealed_memory(kLongest + kTagBytes);
  GuardedMemory opened_memory(kLongest);
  std::vector<size_t> sizes(2101);
  std::iota(sizes.begin(), sizes.end(), size_t{0});
  sizes.insert(sizes.end(), {4095, 4096, 9000, 16384, kLongest});
  for (const size_t size : sizes) {
    const Counter counter = 1000 + size;
    const BytesView plain = plain_memory.copy_of(random_(size));
    const BytesView associated = associated_memory.copy_of(random_(size % 40));
    const MutableBytes sealed = sealed_memory.last(size + kTagBytes);
    aead_->seal(*key_, counter, associated, plain, sealed);
    ASSERT_EQ(to_vector(sealed), oracle_seal(GetParam().suite, secret_, counter, associated, plain)) << size;
    const MutableBytes opened = opened_memory.last(size);
    ASSERT_TRUE(aead_->open(*key_, counter, associated, sealed, opened)) << size;
    ASSERT_EQ(to_vector(opened), to_vector(plain)) << size;
  }
}

TEST_P(AeadTest, EverySizeInPlaceGivesTheSame) {
  constexpr size_t kLongest = 2100;
  GuardedMemory memory(kLongest + kTagBytes);
  for (size_t size = 0; size <= kLongest; ++size) {
    const Bytes plain = random_(size);
    const Bytes expected = oracle_seal(GetParam().suite, secret_, size, {}, plain);
    const MutableBytes sealed = memory.last(size + kTagBytes);
    copy_bytes(plain, sealed);
    aead_->seal(*key_, size, {}, sealed.first(size), sealed);
    ASSERT_EQ(to_vector(sealed), expected) << size;
    ASSERT_TRUE(aead_->open(*key_, size, {}, sealed, sealed.first(size))) << size;
    ASSERT_EQ(to_vector(sealed.first(size)), plain) << size;
  }
}

TEST_P(AeadTest, EveryAlignmentGivesTheSameAndTouchesNothingAround) {
  constexpr size_t kAlignments = 65;
  constexpr size_t kMargin = 64;
  constexpr uint8_t kUntouched = 0xa5;
  for (const size_t size : {size_t{1}, size_t{64}, size_t{333}, size_t{1420}}) {
    const Bytes plain = random_(size);
    const Bytes expected = oracle_seal(GetParam().suite, secret_, size, {}, plain);
    for (size_t alignment = 0; alignment < kAlignments; ++alignment) {
      Bytes from(alignment + size + kMargin, kUntouched);
      Bytes to(kAlignments + size + kTagBytes + kMargin, kUntouched);
      const size_t to_start = kAlignments - alignment;
      copy_bytes(plain, MutableBytes(from).subspan(alignment));
      const MutableBytes sealed = MutableBytes(to).subspan(to_start, size + kTagBytes);
      aead_->seal(*key_, size, {}, BytesView(from).subspan(alignment, size), sealed);
      ASSERT_EQ(to_vector(sealed), expected) << size << " at " << alignment;
      const MutableBytes opened = MutableBytes(from).subspan(alignment, size);
      std::fill(opened.begin(), opened.end(), uint8_t{0});
      ASSERT_TRUE(aead_->open(*key_, size, {}, sealed, opened)) << size << " at " << alignment;
      ASSERT_EQ(to_vector(opened), plain) << size << " at " << alignment;
      const auto untouched = [&](const Bytes& memory, size_t start, size_t end) {
        return std::all_of(memory.begin() + static_cast<ptrdiff_t>(start),
                           memory.begin() + static_cast<ptrdiff_t>(end),
                           [](uint8_t byte) { return byte == kUntouched; });
      };
      ASSERT_TRUE(untouched(to, 0, to_start) && untouched(to, to_start + sealed.size(), to.size()));
      ASSERT_TRUE(untouched(from, 0, alignment) && untouched(from, alignment + size, from.size()));
    }
  }
}

TEST_P(AeadTest, AssociatedDataOfEverySizeIsAuthenticated) {
  constexpr size_t kLongest = 300;
  GuardedMemory memory(kLongest);
  const Bytes plain = random_(100);
  for (size_t size = 0; size <= kLongest; ++size) {
    const BytesView associated = memory.copy_of(random_(size));
    const Bytes sealed = seal(size, associated, plain);
    ASSERT_EQ(sealed, oracle_seal(GetParam().suite, secret_, size, associated, plain)) << size;
    Bytes longer = to_vector(associated);
    longer.push_back(0);
    EXPECT_TRUE(refuses(*key_, size, longer, sealed, plain)) << size;
    if (size == 0) continue;
    EXPECT_TRUE(refuses(*key_, size, associated.first(size - 1), sealed, plain)) << size;
    Bytes changed = to_vector(associated);
    changed[size / 2] ^= 1;
    EXPECT_TRUE(refuses(*key_, size, changed, sealed, plain)) << size;
  }
}

// The nonces of a session are its counters: the edges of each byte, and what the protocol never reaches.
TEST_P(AeadTest, CountersAtTheirEdgesGiveTheSpecifiedNonce) {
  std::vector<Counter> counters = {0, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - (1 << 13), 0x0102030405060708};
  for (unsigned bit = 0; bit < 64; ++bit) {
    counters.push_back(Counter{1} << bit);
    counters.push_back((Counter{1} << bit) - 1);
    counters.push_back((Counter{1} << bit) + 1);
  }
  const std::set<Counter> different(counters.begin(), counters.end());
  const Bytes plain = random_(64);
  std::set<Bytes> packets;
  for (const Counter counter : different) {
    const Bytes sealed = seal(counter, {}, plain);
    EXPECT_EQ(sealed, oracle_seal(GetParam().suite, secret_, counter, {}, plain)) << counter;
    packets.insert(sealed);
  }
  EXPECT_EQ(packets.size(), different.size());  // S2: the same plaintext twice never looks the same
}

TEST(AeadNonce, IsFourZeroBytesAndTheCounter) {
  EXPECT_EQ(to_hex(make_nonce<Suite::kChaCha20Poly1305>(0x0102030405060708)), "000000000807060504030201");
  EXPECT_EQ(to_hex(make_nonce<Suite::kAes256Gcm>(0x0102030405060708)), "000000000102030405060708");
}

TEST_P(AeadTest, AnyFlippedBitOfThePacketIsRefused) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{64}, size_t{257}}) {
    const Bytes associated = random_(9);
    const Bytes plain = random_(size);
    Bytes sealed = seal(size, associated, plain);
    for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
      const auto mask = static_cast<uint8_t>(1 << bit % 8);
      sealed[bit / 8] ^= mask;
      ASSERT_TRUE(refuses(*key_, size, associated, sealed, plain)) << size << " bit " << bit;
      sealed[bit / 8] ^= mask;
    }
    Bytes opened(size);
    EXPECT_TRUE(aead_->open(*key_, size, associated, sealed, opened));
  }
}

TEST_P(AeadTest, AnyFlippedBitOfTheTagIsRefusedAtEverySize) {
  for (const size_t size : {31u, 33u, 512u, 1023u, 1420u, 1421u, 2100u, 9000u}) {
    const Bytes plain = random_(size);
    Bytes sealed = seal(size, {}, plain);
    for (size_t bit = 0; bit < kTagBytes * 8; ++bit) {
      const auto mask = static_cast<uint8_t>(1 << bit % 8);
      sealed[size + bit / 8] ^= mask;
      ASSERT_TRUE(refuses(*key_, size, {}, sealed, plain)) << size << " bit " << bit;
      sealed[size + bit / 8] ^= mask;
    }
  }
}

// Tags that a broken comparison might take: all zeros, all ones, the right one turned round or inverted.
TEST_P(AeadTest, TagsOfSpecialShapeAreRefused) {
  const Bytes plain = random_(100);
  const Bytes sealed = seal(5, {}, plain);
  const auto with_tag = [&](const auto& change) {
    Bytes changed = sealed;
    change(changed.end() - kTagBytes, changed.end());
    return changed;
  };
  const Bytes spoiled[] = {
      with_tag([](auto begin, auto end) { std::fill(begin, end, uint8_t{0}); }),
      with_tag([](auto begin, auto end) { std::fill(begin, end, uint8_t{0xff}); }),
      with_tag([](auto begin, auto end) { std::reverse(begin, end); }),
      with_tag([](auto begin, auto end) { std::rotate(begin, begin + 8, end); }),
      with_tag([](auto begin, auto end) {
        std::for_each(begin, end, [](uint8_t& byte) { byte = static_cast<uint8_t>(~byte); });
      }),
      with_tag([](auto begin, auto end) { std::for_each(begin, end, [](uint8_t& byte) { byte ^= 0x80; }); }),
  };
  for (const Bytes& packet : spoiled) EXPECT_TRUE(refuses(*key_, 5, {}, packet, plain)) << to_hex(packet);
}

TEST_P(AeadTest, EveryTruncationAndAnyExtensionIsRefused) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{64}, size_t{300}}) {
    const Bytes plain = random_(size);
    Bytes sealed = seal(size, {}, plain);
    for (size_t kept = 0; kept < sealed.size(); ++kept) {
      ASSERT_TRUE(refuses(*key_, size, {}, BytesView(sealed).first(kept), plain))
          << size << " cut to " << kept;
      ASSERT_TRUE(refuses(*key_, size, {}, BytesView(sealed).last(kept), plain)) << size << " last " << kept;
    }
    sealed.push_back(0);
    EXPECT_TRUE(refuses(*key_, size, {}, sealed, plain));
  }
}

TEST_P(AeadTest, OtherCounterOrKeyIsRefused) {
  const Bytes plain = random_(100);
  const Counter counter = 77;
  const Bytes sealed = seal(counter, {}, plain);
  for (unsigned bit = 0; bit < 64; ++bit) {
    EXPECT_TRUE(refuses(*key_, counter ^ (Counter{1} << bit), {}, sealed, plain)) << "counter bit " << bit;
  }
  for (size_t bit = 0; bit < kKeyBytes * 8; ++bit) {
    AeadSecret changed = secret_;
    changed.mutable_view()[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_TRUE(refuses(*aead_->make_key(changed), counter, {}, sealed, plain)) << "key bit " << bit;
  }
}

TEST_P(AeadTest, RefusedInPlaceLeavesNoPlaintext) {
  for (const size_t size : {size_t{8}, size_t{64}, size_t{1420}, size_t{9000}}) {
    const Bytes plain = random_(size);
    Bytes buffer = seal(1, {}, plain);
    buffer.back() ^= 1;
    EXPECT_FALSE(aead_->open(*key_, 1, {}, buffer, MutableBytes(buffer).first(size)));
    EXPECT_FALSE(holds_any_of(buffer, plain)) << size;
  }
}

// Empty packets are keepalives; their views may be null.
TEST_P(AeadTest, EmptyPacketIsATagAlone) {
  const Bytes sealed = seal(3, {}, {});
  EXPECT_EQ(sealed.size(), kTagBytes);
  EXPECT_EQ(sealed, oracle_seal(GetParam().suite, secret_, 3, {}, {}));
  EXPECT_TRUE(aead_->open(*key_, 3, {}, sealed, {}));
  EXPECT_FALSE(aead_->open(*key_, 4, {}, sealed, {}));
  EXPECT_FALSE(aead_->open(*key_, 3, {}, {}, {}));
}

// A backend that keeps something of the last packet or key in its scratch state would show here.
TEST_P(AeadTest, PacketsUnderManyKeysMayBeInterleaved) {
  constexpr size_t kKeyCount = 8;
  std::vector<AeadSecret> secrets;
  std::vector<std::unique_ptr<AeadKey>> keys;
  for (size_t index = 0; index < kKeyCount; ++index) {
    secrets.push_back(secret_of(random_(kKeyBytes)));
    keys.push_back(aead_->make_key(secrets.back()));
  }
  for (size_t round = 0; round < 500; ++round) {
    const size_t which = random_.below(kKeyCount);
    const Bytes plain = random_(random_.below(300));
    const Bytes associated = random_(random_.below(20));
    Bytes sealed(plain.size() + kTagBytes);
    aead_->seal(*keys[which], round, associated, plain, sealed);
    ASSERT_EQ(sealed, oracle_seal(GetParam().suite, secrets[which], round, associated, plain)) << round;
    EXPECT_TRUE(refuses(*keys[(which + 1) % kKeyCount], round, associated, sealed, plain));
    Bytes opened(plain.size());
    ASSERT_TRUE(aead_->open(*keys[which], round, associated, sealed, opened)) << round;
    ASSERT_EQ(opened, plain);
  }
}

// Batches give what single packets give, whatever their count, in place or not, and with bad packets among
// good ones.
TEST_P(AeadTest, BatchesGiveWhatSinglePacketsGive) {
  for (const size_t count : {0u, 1u, 2u, 31u, 32u, 64u, 127u, 128u, 129u, 300u}) {
    std::vector<Bytes> plains(count);
    std::vector<Bytes> buffers(count);
    std::vector<SealJob> seals(count);
    for (size_t index = 0; index < count; ++index) {
      plains[index] = random_(index % 7 == 0 ? 0 : random_.below(1600));
      buffers[index].resize(plains[index].size() + kTagBytes);
      const bool in_place = index % 2 == 0;
      if (in_place) copy_bytes(plains[index], buffers[index]);
      const BytesView plain =
          in_place ? BytesView(buffers[index]).first(plains[index].size()) : plains[index];
      seals[index] = {.counter = index * 3, .plain = plain, .sealed = buffers[index]};
    }
    aead_->seal_batch(*key_, seals);
    for (size_t index = 0; index < count; ++index) {
      ASSERT_EQ(buffers[index], oracle_seal(GetParam().suite, secret_, index * 3, {}, plains[index]))
          << index;
    }

    enum class Spoil { kNot, kTag, kBody, kCounter, kTooShort };
    const auto spoil_of = [](size_t index) { return static_cast<Spoil>(index % 5); };
    std::vector<Bytes> opened(count);
    std::vector<OpenJob> opens(count);
    for (size_t index = 0; index < count; ++index) {
      const Spoil spoil = spoil_of(index);
      if (spoil == Spoil::kTag) buffers[index].back() ^= 1;
      if (spoil == Spoil::kBody) buffers[index].front() ^= 1;
      if (spoil == Spoil::kTooShort) buffers[index].resize(kTagBytes - 1);
      const size_t size = spoil == Spoil::kTooShort ? 0 : plains[index].size();
      const bool in_place = index % 2 == 0;
      opened[index].assign(size, 0xee);
      opens[index] = {
          .counter = index * 3 + (spoil == Spoil::kCounter ? 1 : 0),
          .sealed = buffers[index],
          .plain = in_place ? MutableBytes(buffers[index]).first(size) : MutableBytes(opened[index]),
          .authentic = spoil != Spoil::kNot};  // the wrong way round, so that it must be written
    }
    aead_->open_batch(*key_, opens);
    for (size_t index = 0; index < count; ++index) {
      const bool intact = spoil_of(index) == Spoil::kNot;
      ASSERT_EQ(opens[index].authentic, intact) << index << " of " << count;
      if (intact) {
        ASSERT_EQ(to_vector(opens[index].plain), plains[index]) << index << " of " << count;
      } else {
        ASSERT_FALSE(holds_any_of(opens[index].plain, plains[index])) << index << " of " << count;
      }
    }
  }
}

// One key, several threads with an Aead each, as the workers of a daemon use a session.
TEST_P(AeadTest, OneKeyServesSeveralThreads) {
  constexpr size_t kThreadCount = 4;
  constexpr size_t kPacketCount = 500;
  const Bytes plain = random_(1420);
  std::vector<Bytes> expected;
  for (size_t index = 0; index < kPacketCount; ++index) {
    expected.push_back(oracle_seal(GetParam().suite, secret_, index, {}, plain));
  }
  std::array<size_t, kThreadCount> right{};
  std::vector<std::thread> threads;
  for (size_t& right_here : right) {
    threads.emplace_back([&, this] {
      const auto own = make_aead(GetParam().backend, GetParam().suite);
      Bytes sealed(plain.size() + kTagBytes);
      Bytes opened(plain.size());
      for (size_t index = 0; index < kPacketCount; ++index) {
        own->seal(*key_, index, {}, plain, sealed);
        const bool authentic = own->open(*key_, index, {}, expected[index], opened);
        if (sealed == expected[index] && authentic && opened == plain) ++right_here;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const size_t count : right) EXPECT_EQ(count, kPacketCount);
}

TEST_P(AeadTest, NamesItself) {
  EXPECT_EQ(aead_->suite(), GetParam().suite);
  const std::string_view names[] = {"ipsec-mb", "libsodium", "openssl"};
  EXPECT_EQ(aead_->backend_name(), names[static_cast<size_t>(GetParam().backend)]);
}

TEST(Aead, SuitesHaveTheirNames) {
  EXPECT_EQ(suite_name(Suite::kChaCha20Poly1305), "ChaCha20-Poly1305");
  EXPECT_EQ(suite_name(Suite::kAes256Gcm), "AES-256-GCM");
}

// OpenSSL serves both suites everywhere, and libsodium ChaCha20-Poly1305: the portable fallback.
TEST(Aead, PortableBackendsAreAlwaysThere) {
  EXPECT_NE(make_aead(Backend::kOpenssl, Suite::kChaCha20Poly1305), nullptr);
  EXPECT_NE(make_aead(Backend::kOpenssl, Suite::kAes256Gcm), nullptr);
  EXPECT_NE(make_aead(Backend::kLibsodium, Suite::kChaCha20Poly1305), nullptr);
}

INSTANTIATE_TEST_SUITE_P(All, AeadTest, testing::ValuesIn(test::all_backend_suites()),
                         [](const auto& parameter) { return test::name_of(parameter.param); });

// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
TEST(XChaCha20Poly1305, PublishedVector) {
  const AeadSecret key =
      secret_of(from_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"));
  const Bytes nonce = from_hex("404142434445464748494a4b4c4d4e4f5051525354555657");
  const Bytes associated = from_hex("50515253c0c1c2c3c4c5c6c7");
  const std::string_view text =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
      "would be "
      "it.";
  const Bytes plain(text.begin(), text.end());
  const std::string_view sealed =
      "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6"
      "708c54c216"
      "cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812"
      "f615c68b13"
      "b52ec0875924c1c7987947deafd8780acf49";
  Bytes ours(plain.size() + kTagBytes);
  xchacha20_poly1305_seal(key, fixed_view<kXNonceBytes>(nonce), associated, plain, ours);
  EXPECT_EQ(to_hex(ours), sealed);
  Bytes opened(plain.size());
  EXPECT_TRUE(
      xchacha20_poly1305_open(key, fixed_view<kXNonceBytes>(nonce), associated, from_hex(sealed), opened));
  EXPECT_EQ(opened, plain);
}

TEST(XChaCha20Poly1305, AnyFlippedBitOrTruncationIsRefused) {
  SeededBytes random(11);
  const AeadSecret key = secret_of(random(kKeyBytes));
  const Bytes nonce = random(kXNonceBytes);
  const Bytes associated = random(16);
  const Bytes plain = random(16);  // a cookie
  Bytes sealed(plain.size() + kTagBytes);
  xchacha20_poly1305_seal(key, fixed_view<kXNonceBytes>(nonce), associated, plain, sealed);
  Bytes opened(plain.size());
  const auto opens = [&](BytesView packet, BytesView with_nonce, BytesView with_associated) {
    const size_t size = packet.size() < kTagBytes ? 0 : packet.size() - kTagBytes;
    return xchacha20_poly1305_open(key, fixed_view<kXNonceBytes>(with_nonce), with_associated, packet,
                                   MutableBytes(opened).first(size));
  };
  ASSERT_TRUE(opens(sealed, nonce, associated));
  const auto flipped = [](Bytes bytes, size_t bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    return bytes;
  };
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    EXPECT_FALSE(opens(flipped(sealed, bit), nonce, associated)) << bit;
    EXPECT_FALSE(holds_any_of(opened, plain)) << bit;
  }
  for (size_t bit = 0; bit < nonce.size() * 8; ++bit)
    EXPECT_FALSE(opens(sealed, flipped(nonce, bit), associated));
  for (size_t bit = 0; bit < associated.size() * 8; ++bit)
    EXPECT_FALSE(opens(sealed, nonce, flipped(associated, bit)));
  for (size_t kept = 0; kept < sealed.size(); ++kept) {
    EXPECT_FALSE(opens(BytesView(sealed).first(kept), nonce, associated)) << kept;
  }
}

}  // namespace
}  // namespace vpn::crypto
