"""Rotation of the hash key."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from tokentide_producers.emitter import Emitter
from tokentide_producers.hash_keys import HashKeyRing, HashKeysError
from tokentide_producers.hashing import IdentifierHasher
from tokentide_producers.settings import EmitterSettings
from tokentide_schemas.columns import NO_HASH

OLD, NEW = "an old secret of 2025", "a new secret of 2026"
CHANGE = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
KEYS = json.dumps([{"id": "new", "secret": NEW, "valid_from": CHANGE.isoformat()}, {"id": "old", "secret": OLD}])


def test_producers_change_to_the_new_key_at_its_instant() -> None:
    ring = HashKeyRing.parse(KEYS)
    assert ring.hash("alice", CHANGE - dt.timedelta(milliseconds=1)) == IdentifierHasher(OLD)("alice")
    assert ring.hash("alice", CHANGE) == IdentifierHasher(NEW)("alice")
    assert ring.hash("", CHANGE) == NO_HASH


def test_a_person_is_found_under_every_key_that_was_used() -> None:
    ring = HashKeyRing.parse(KEYS)
    assert ring.every_hash("alice") == {"old": IdentifierHasher(OLD)("alice"), "new": IdentifierHasher(NEW)("alice")}
    assert ring.every_hash("") == {}


def test_a_key_that_begins_later_leaves_nothing_to_hash_with_before() -> None:
    ring = HashKeyRing.parse(json.dumps([{"id": "new", "secret": NEW, "valid_from": CHANGE.isoformat()}]))
    with pytest.raises(HashKeysError, match="no hash key is valid before 2026-07-01"):
        ring.hash("alice", CHANGE - dt.timedelta(days=1))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ([], "there is no hash key"),
        ([{"id": "a", "secret": OLD}, {"id": "b", "secret": NEW}], "same valid_from"),
        ([{"id": "a", "secret": OLD}, {"id": "a", "secret": NEW, "valid_from": CHANGE.isoformat()}], "same id"),
        ([{"id": "a", "secret": "too short"}], "hash key a: the secret has under 16 characters"),
        ([{"id": "a b", "secret": OLD}], "0.id"),
        ([{"id": "a", "secret": OLD, "valid_from": "2026-07-01T00:00:00"}], "0.valid_from"),
        ([{"id": "a"}], "0.secret"),
        ({"secret": OLD}, "value"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_without_showing_them(keys: object, says: str) -> None:
    with pytest.raises(HashKeysError, match=says) as refused:
        HashKeyRing.parse(json.dumps(keys))
    assert OLD not in str(refused.value)
    assert "too short" not in str(refused.value)


def test_no_secret_is_in_a_rings_text() -> None:
    ring = HashKeyRing.parse(KEYS)
    assert not any(secret in repr(ring.keys) for secret in (OLD, NEW))


def test_an_emitter_hashes_with_the_key_that_is_valid_now() -> None:
    emitter = Emitter("127.0.0.1:9", settings=EmitterSettings(hash_keys=KEYS))
    valid = NEW if dt.datetime.now(dt.UTC) >= CHANGE else OLD
    assert emitter.hash("alice") == IdentifierHasher(valid)("alice")
    emitter.close(0)
