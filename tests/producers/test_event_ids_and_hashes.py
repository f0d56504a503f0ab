import hashlib
import hmac
from uuid import RFC_4122, UUID

import numpy as np
import pytest

from tokentide_producers.event_ids import EventIds
from tokentide_producers.hashing import IdentifierHasher
from tokentide_schemas.columns import NO_HASH


def test_ids_are_version_7_and_rise_even_when_the_clock_steps_back() -> None:
    ids = EventIds(7)
    made = [ids.next(ms) for ms in (1000, 1000, 999, 500, 1001)]
    assert made == sorted(made) and len(set(made)) == 5
    assert all(one.version == 7 and one.variant == RFC_4122 for one in made)


def test_ids_still_rise_when_the_counter_starts_again() -> None:
    ids = EventIds(7)
    ids._counter = 2**26 - 1
    last, first = ids.next(1000), ids.next(1000)
    assert first > last


def test_a_block_holds_the_ids_that_next_would_give() -> None:
    one, other = EventIds(5), EventIds(5)
    one._counter = other._counter = 10
    block = [UUID(bytes=value) for value in one.block(np.full(3, 1234, np.int64)).to_pylist()]
    assert block == [other.next(1234) for _ in range(3)]


def test_generators_do_not_meet() -> None:
    times = np.full(1000, 1234, np.int64)
    both = EventIds().block(times).to_pylist() + EventIds().block(times).to_pylist()
    assert len(set(both)) == 2000


def test_a_hash_is_keyed_and_sixteen_bytes() -> None:
    expected = hmac.new(b"secret", b"user-1", hashlib.sha256).digest()[:16]
    assert IdentifierHasher("secret")("user-1") == expected
    assert IdentifierHasher("other")("user-1") != expected


def test_an_unknown_identifier_stays_unknown() -> None:
    assert IdentifierHasher("secret")("") == NO_HASH


@pytest.mark.parametrize("key", ["", b"", "  "])
def test_an_empty_key_is_refused(key: str | bytes) -> None:
    with pytest.raises(ValueError, match="TOKENTIDE_EMITTER_HASH_KEY"):
        IdentifierHasher(key)
