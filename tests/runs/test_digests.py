"""Digests against published values and hashlib, since files on disk hold them."""

import os
from hashlib import blake2b
from pathlib import Path

from lightning_c3l.runs.digests import (
    Digest,
    content_digest,
    content_number,
    file_digest,
    sha256_digest,
    sha256_of_files,
)

# FIPS 180-2, appendix B.1
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_parts_count_as_one_text_or_file() -> None:
    whole = blake2b("a\u00e9b".encode(), digest_size=16).hexdigest()
    assert content_digest("a\u00e9b") == content_digest("a", b"\xc3\xa9", "b") == whole
    assert content_digest("ab", size=8) == blake2b(b"ab", digest_size=8).hexdigest()
    digest = Digest(4)
    digest.update("a", b"")
    digest.update("b")
    assert digest.hexdigest() == blake2b(b"ab", digest_size=4).hexdigest()
    assert sha256_digest("a", b"bc") == ABC
    assert sha256_digest("abc", digits=8) == "ba7816bf"


def test_numbers_are_big_endian() -> None:
    found = blake2b(b"x", digest_size=6).digest()
    assert content_number("x", size=6) == sum(byte << 8 * (5 - place) for place, byte in enumerate(found))


def test_half_a_surrogate_pair_has_a_digest() -> None:
    assert content_digest("\ud800") == content_digest(b"\xed\xa0\x80") != content_digest("\ud801")


def test_files_have_the_digests_of_their_bytes(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(b"c")
    assert file_digest(tmp_path / "a") == content_digest(data)
    assert sha256_of_files([tmp_path / "a", tmp_path / "b"]) == sha256_digest(data, b"c")
