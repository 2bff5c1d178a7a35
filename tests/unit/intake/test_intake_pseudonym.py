"""Keyed hashes: HMAC-SHA-256 by the book, whatever shortcut computes it."""

import hashlib
import hmac

import pyarrow as pa
import pytest

from pipelines.intake.pseudonym import Pseudonymiser


@pytest.mark.parametrize("key", [b"short", b"k" * 64, b"longer than a block of the hash " * 9])
def test_hashes_are_hmac_sha_256(key):
    (found,) = Pseudonymiser(key).scoped("staff", pa.array(["H1"]), pa.array(["王医师"])).to_pylist()
    assert found == hmac.digest(key, "staff|H1|王医师".encode(), hashlib.sha256).hex()[:32]


def test_nothing_stays_nothing_and_equal_stays_equal():
    hashed = Pseudonymiser(b"key").scoped("card", pa.array(["H1"] * 4), pa.array(["1", None, "2", "1"]))
    first, nothing, second, again = hashed.to_pylist()
    assert nothing is None and first == again != second
