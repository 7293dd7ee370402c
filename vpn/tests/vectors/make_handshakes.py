#!/usr/bin/python3
"""Writes handshakes.json: complete WireGuard handshakes with every secret fixed, computed independently of the C++ code.

Everything here follows the WireGuard whitepaper (section 5.4) and the Noise specification (revision 34) by way of
Python's hashlib and hmac (BLAKE2s, HKDF) and the `cryptography` package (X25519, ChaCha20-Poly1305, AES-256-GCM).
HChaCha20, which neither has, is written out below from draft-irtf-cfrg-xchacha section 2.2.

    make_handshakes.py          writes handshakes.json beside this script
    make_handshakes.py --check  exits 1 when that file is not what this script writes
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
CONSTRUCTIONS = {
    "ChaCha20-Poly1305": b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s",
    "AES-256-GCM": b"Noise_IKpsk2_25519_AESGCM_BLAKE2s",
}


# ── Primitives ───────────────────────────────────────────────────────────────────────────────────────────────────────


def blake2s(*parts: bytes) -> bytes:
    return hashlib.blake2s(b"".join(parts)).digest()


def mac16(key: bytes, *parts: bytes) -> bytes:
    return hashlib.blake2s(b"".join(parts), key=key, digest_size=16).digest()


def hmac_blake2s(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.blake2s).digest()


def kdf(chain: bytes, data: bytes, count: int) -> list[bytes]:
    """`count` 32-byte outputs of the Noise HKDF."""
    secret = hmac_blake2s(chain, data)
    outputs, last = [], b""
    for number in range(1, count + 1):
        last = hmac_blake2s(secret, last + bytes([number]))
        outputs.append(last)
    return outputs


def public_of(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(private: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def clamp(private: bytes) -> bytes:
    key = bytearray(private)
    key[0] &= 0xF8
    key[31] = (key[31] & 0x7F) | 0x40
    return bytes(key)


def seal(suite: str, key: bytes, counter: int, plain: bytes, associated: bytes) -> bytes:
    """The nonce is 4 zero bytes and the counter: little-endian for ChaChaPoly, big-endian for AESGCM."""
    if suite == "ChaCha20-Poly1305":
        return ChaCha20Poly1305(key).encrypt(bytes(4) + struct.pack("<Q", counter), plain, associated)
    return AESGCM(key).encrypt(bytes(4) + struct.pack(">Q", counter), plain, associated)


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    state = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key) + struct.unpack("<4I", nonce))

    def quarter_round(a: int, b: int, c: int, d: int) -> None:
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            mixed = state[z] ^ state[x]
            state[z] = ((mixed << turn) | (mixed >> (32 - turn))) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter_round(column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            quarter_round(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<8I", *state[:4], *state[12:])


def xchacha20_poly1305_seal(key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, associated)


def tai64n(seconds: int, nanoseconds: int) -> bytes:
    """Nanoseconds are rounded down to a multiple of 2^24."""
    return struct.pack(">QI", 0x400000000000000A + seconds, nanoseconds & ~0xFFFFFF)


# ── The handshake ────────────────────────────────────────────────────────────────────────────────────────────────────


class Transcript:
    """Noise's symmetric state: chaining key and hash."""

    def __init__(self, suite: str, responder_public: bytes):
        self.suite = suite
        self.chain = blake2s(CONSTRUCTIONS[suite])
        self.hash = blake2s(blake2s(self.chain, IDENTIFIER), responder_public)

    def mix_hash(self, data: bytes) -> None:
        self.hash = blake2s(self.hash, data)

    def mix_ephemeral(self, public: bytes) -> None:
        self.mix_hash(public)
        (self.chain,) = kdf(self.chain, public, 1)

    def mix_key(self, secret: bytes) -> bytes:
        self.chain, key = kdf(self.chain, secret, 2)
        return key

    def mix_psk(self, psk: bytes) -> bytes:
        self.chain, tau, key = kdf(self.chain, psk, 3)
        self.mix_hash(tau)
        return key

    def seal(self, key: bytes, plain: bytes) -> bytes:
        sealed = seal(self.suite, key, 0, plain, self.hash)
        self.mix_hash(sealed)
        return sealed


def with_macs(body: bytes, receiver_public: bytes, cookie: bytes | None) -> bytes:
    body += mac16(blake2s(b"mac1----", receiver_public), body)
    return body + (mac16(cookie, body) if cookie else bytes(16))


def cookie_of(secret: bytes, address: bytes, port: int) -> bytes:
    return mac16(secret, address, struct.pack(">H", port))


def cookie_reply(own_public: bytes, receiver: int, nonce: bytes, cookie: bytes, mac1: bytes) -> bytes:
    sealed = xchacha20_poly1305_seal(blake2s(b"cookie--", own_public), nonce, cookie, mac1)
    return struct.pack("<II", 3, receiver) + nonce + sealed


def data_message(suite: str, key: bytes, receiver: int, counter: int, packet: bytes) -> bytes:
    padded = packet + bytes(-len(packet) % 16)
    return struct.pack("<IIQ", 4, receiver, counter) + seal(suite, key, counter, padded, b"")


def ipv4_packet(source: bytes, destination: bytes, payload: bytes) -> bytes:
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, 253, 0, source, destination)
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack(">H", checksum) + header[12:] + payload


class Party:
    """One end's fixed secrets: they depend on the vector's name and the role alone."""

    def __init__(self, name: str, role: str, index: int):
        self.static = clamp(fixed(name, f"{role} static"))
        self.public = public_of(self.static)
        self.ephemeral = clamp(fixed(name, f"{role} ephemeral"))
        self.ephemeral_public = public_of(self.ephemeral)
        self.cookie_secret = fixed(name, f"{role} cookie secret")
        self.cookie_nonce = fixed(name, f"{role} cookie nonce", 24)
        self.index = index

    def as_json(self) -> dict[str, Any]:
        return {
            "private": self.static.hex(),
            "public": self.public.hex(),
            "ephemeral_private": self.ephemeral.hex(),
            "index": self.index,
        }


def fixed(name: str, label: str, length: int = 32) -> bytes:
    return hashlib.shake_256(f"{name}/{label}".encode()).digest(length)


def initiation_body(state: Transcript, initiator: Party, responder: Party, timestamp: bytes) -> bytes:
    """The initiation up to its MACs."""
    state.mix_ephemeral(initiator.ephemeral_public)  # e
    key = state.mix_key(dh(initiator.ephemeral, responder.public))  # es
    sealed_static = state.seal(key, initiator.public)  # s
    key = state.mix_key(dh(initiator.static, responder.public))  # ss
    sealed_timestamp = state.seal(key, timestamp)
    return struct.pack("<II", 1, initiator.index) + initiator.ephemeral_public + sealed_static + sealed_timestamp


def response_body(state: Transcript, initiator: Party, responder: Party, psk: bytes) -> bytes:
    """The response up to its MACs."""
    state.mix_ephemeral(responder.ephemeral_public)  # e
    state.mix_key(dh(responder.ephemeral, initiator.ephemeral_public))  # ee
    state.mix_key(dh(responder.ephemeral, initiator.public))  # se
    key = state.mix_psk(psk)  # psk
    sealed_empty = state.seal(key, b"")
    return struct.pack("<III", 2, responder.index, initiator.index) + responder.ephemeral_public + sealed_empty


def under_load(asker: Party, asked: Party, body: bytes, address: bytes, port: int) -> dict[str, Any]:
    """What follows when `asker` is under load as the message arrives from that address: reply, and message with mac2."""
    cookie = cookie_of(asker.cookie_secret, address, port)
    mac1 = with_macs(body, asker.public, None)[-32:-16]
    return {
        "source_address": address.hex(),
        "source_port": port,
        "secret": asker.cookie_secret.hex(),
        "nonce": asker.cookie_nonce.hex(),
        "cookie": cookie.hex(),
        "reply": cookie_reply(asker.public, asked.index, asker.cookie_nonce, cookie, mac1).hex(),
        "message_with_mac2": with_macs(body, asker.public, cookie).hex(),
    }


def data_messages(suite: str, keys: list[bytes], initiator: Party, responder: Party) -> list[dict[str, Any]]:
    inner_initiator, inner_responder = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    ping = ipv4_packet(inner_initiator, inner_responder, b"a packet that needs padding")
    pong = ipv4_packet(inner_responder, inner_initiator, b"a multiple of sixteen, whole")
    messages = []
    for sender, counter, packet in [
        ("initiator", 0, b""),
        ("initiator", 1, ping),
        ("responder", 0, pong),
        ("initiator", 0x0102030405060708, ping),
        ("responder", 2**64 - 2**13 - 2, b""),
    ]:
        key, receiver = (keys[0], responder) if sender == "initiator" else (keys[1], initiator)
        message = data_message(suite, key, receiver.index, counter, packet)
        messages.append({"sender": sender, "counter": counter, "packet": packet.hex(), "message": message.hex()})
    return messages


def vector(suite: str, has_psk: bool) -> dict[str, Any]:
    name = f"{suite}, {'with' if has_psk else 'without'} PSK"
    initiator_index, responder_index = struct.unpack("<II", fixed(name, "indices", 8))
    initiator = Party(name, "initiator", initiator_index)
    responder = Party(name, "responder", responder_index)
    psk = fixed(name, "psk") if has_psk else bytes(32)
    unix_seconds, unix_nanoseconds = 1_700_000_000, 987_654_321
    timestamp = tai64n(unix_seconds, unix_nanoseconds)

    state = Transcript(suite, responder.public)
    initiation = initiation_body(state, initiator, responder, timestamp)
    response = response_body(state, initiator, responder, psk)
    keys = kdf(state.chain, b"", 2)
    return {
        "name": name,
        "suite": suite,
        "construction": CONSTRUCTIONS[suite].decode(),
        "preshared_key": psk.hex(),
        "unix_seconds": unix_seconds,
        "unix_nanoseconds": unix_nanoseconds,
        "tai64n": timestamp.hex(),
        "initiator": initiator.as_json(),
        "responder": responder.as_json(),
        "initiation": with_macs(initiation, responder.public, None).hex(),
        "initiation_cookie": under_load(responder, initiator, initiation, bytes([192, 0, 2, 7]), 51820),
        "response": with_macs(response, initiator.public, None).hex(),
        "response_cookie": under_load(
            initiator, responder, response, bytes.fromhex("20010db8000000000000000000000042"), 1234
        ),
        "initiator_sends_with": keys[0].hex(),
        "responder_sends_with": keys[1].hex(),
        "data": data_messages(suite, keys, initiator, responder),
    }


def self_test() -> None:
    """HChaCha20 against its draft's vector (section 2.2.1)."""
    key = bytes(range(32))
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    expected = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    if hchacha20(key, nonce).hex() != expected:
        sys.exit("make_handshakes.py: HChaCha20 does not match draft-irtf-cfrg-xchacha")


def main() -> None:
    self_test()
    vectors = [vector(suite, has_psk) for suite in CONSTRUCTIONS for has_psk in (False, True)]
    text = json.dumps({"vectors": vectors}, indent=1) + "\n"
    path = pathlib.Path(__file__).resolve().with_name("handshakes.json")
    if sys.argv[1:] == ["--check"]:
        if path.read_text() != text:
            sys.exit(f"{path}: not what make_handshakes.py writes; remedy: run it without --check")
    elif not sys.argv[1:]:
        path.write_text(text)
    else:
        sys.exit(f"usage: {sys.argv[0]} [--check]")


if __name__ == "__main__":
    main()
