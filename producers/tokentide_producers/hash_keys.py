"""Rotation of the hash key: which key hashes now, and every hash that one identifier may have been given."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from tokentide_producers.hashing import IdentifierHasher
from tokentide_schemas.columns import NO_HASH

MIN_SECRET_CHARS: Final = 16
_ALWAYS: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    secret: SecretStr
    valid_from: AwareDatetime = _ALWAYS


_ENTRIES: Final = TypeAdapter(list[_Entry])


class HashKeysError(ValueError):
    """The keys cannot be used. The message never holds a secret."""


@dataclass(frozen=True, slots=True)
class HashKey:
    """One secret. id: its name, which may be shown. valid_from: when producers begin to hash with it."""

    id: str
    valid_from: dt.datetime
    hasher: IdentifierHasher = field(repr=False)


class HashKeyRing:
    """The current key and those before it.

    Producers change over at `valid_from` without being restarted; old keys stay in the ring for as long as rows hashed
    with them are kept, so that a person's rows can still be found and removed.
    """

    def __init__(self, keys: Iterable[HashKey]) -> None:
        self.keys = tuple(sorted(keys, key=lambda key: key.valid_from))
        if not self.keys:
            raise HashKeysError("there is no hash key: set TOKENTIDE_EMITTER_HASH_KEYS or TOKENTIDE_EMITTER_HASH_KEY")
        for what, values in (("id", [k.id for k in self.keys]), ("valid_from", [k.valid_from for k in self.keys])):
            if len(set(values)) != len(values):
                raise HashKeysError(f"two hash keys have the same {what}; give each its own")

    @classmethod
    def parse(cls, text: str) -> Self:
        """A ring from JSON: [{"id": "2026-07", "secret": "...", "valid_from": "2026-07-01T00:00:00Z"}, ...]."""
        try:
            entries = _ENTRIES.validate_json(text)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'value'}: {item['msg']}"
                for item in error.errors(include_input=False, include_url=False)
            )
            raise HashKeysError(f"the hash keys are not a JSON list of id, secret, valid_from: {problems}") from None
        for entry in entries:
            if len(entry.secret.get_secret_value().strip()) < MIN_SECRET_CHARS:
                raise HashKeysError(f"hash key {entry.id}: the secret has under {MIN_SECRET_CHARS} characters")
        return cls(HashKey(e.id, e.valid_from, IdentifierHasher(e.secret.get_secret_value())) for e in entries)

    @classmethod
    def single(cls, secret: str) -> Self:
        """A ring of one key that was always valid."""
        return cls([HashKey("default", _ALWAYS, IdentifierHasher(secret))])

    def current(self, now: dt.datetime) -> HashKey:
        """The key to hash with at `now` (aware). Raises HashKeysError when none is valid yet."""
        valid = [key for key in self.keys if key.valid_from <= now]
        if not valid:
            raise HashKeysError(f"no hash key is valid before {self.keys[0].valid_from.isoformat()}; add an older one")
        return valid[-1]

    def hash(self, identifier: str, now: dt.datetime) -> bytes:
        """What a producer writes at `now`; '' is unknown and stays so."""
        return self.current(now).hasher(identifier)

    def every_hash(self, identifier: str) -> dict[str, bytes]:
        """Key id -> hash: all that one identifier may have been stored as. Empty for ''."""
        hashes = {key.id: key.hasher(identifier) for key in self.keys}
        return {name: value for name, value in hashes.items() if value != NO_HASH}


def is_user_hash(text: str) -> bool:
    """Whether a text is a hash as `usage.user_hash` shows it."""
    return re.fullmatch(r"[0-9a-fA-F]{32}", text) is not None
