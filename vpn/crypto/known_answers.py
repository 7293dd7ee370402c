#!/usr/bin/env python3
"""Computes the known answers of aead_select.cc independently, and checks that they stand there.

usage: known_answers.py path/to/aead_select.cc
"""

import hashlib
import pathlib
import re
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

FIRST_COUNTER = 0x0102030405060708
LENGTHS = [0, 1, 15, 16, 17, 32, 63, 64, 65, 127, 128, 255, 256, 257, 511, 512, 1024, 1420, 1500, 2049]


def counting_bytes(count: int) -> bytes:
    return bytes(index % 256 for index in range(count))


def known_answer(cipher: type, counter_order: str) -> bytes:
    """BLAKE2s of the sealed packets of all lengths, one after the other."""
    aead = cipher(counting_bytes(32))
    digest = hashlib.blake2s()
    for length in LENGTHS:
        nonce = bytes(4) + (FIRST_COUNTER + length).to_bytes(8, counter_order)
        digest.update(aead.encrypt(nonce, counting_bytes(length), counting_bytes(length % 33)))
    return digest.digest()


def stated_answer(source: str, name: str) -> bytes:
    match = re.search(rf"{name} = \{{(.*?)\}};", source, re.DOTALL)
    if match is None:
        sys.exit(f"known_answers.py: no constant {name} in the source; remedy: name it there or mend this script")
    return bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})", match.group(1)))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    source = pathlib.Path(sys.argv[1]).read_text()
    for name, cipher, counter_order in (
        ("kKnownChaCha20Poly1305", ChaCha20Poly1305, "little"),
        ("kKnownAes256Gcm", AESGCM, "big"),
    ):
        answer = known_answer(cipher, counter_order)
        if stated_answer(source, name) != answer:
            sys.exit(f"known_answers.py: {name} differs; it should be {', '.join(f'0x{byte:02x}' for byte in answer)}")


if __name__ == "__main__":
    main()
