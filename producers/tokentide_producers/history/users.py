"""Who makes the requests: monthly cohorts of each model's users, of which a known part comes back. Pure.

A cohort is the users whose first month with a model it is (F30). Within a month the model's requests go round its
active users, so that each of them is seen as soon as there are as many requests as users.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

FULLEST: Final = 0.75
"""Active users are at most this part of a month's expected requests: each must occur, and the draw scatters."""
SESSIONS_PER_USER: Final = 4

Ints = npt.NDArray[np.int64]


def cohorts(
    expected_requests: Sequence[float], retention: Sequence[float], requests_per_user: float, rng: np.random.Generator
) -> list[Ints]:
    """The active users of each month, numbered from 0 in the order of their first month.

    expected_requests: of each month. retention: part of a cohort that is active 1, 2, ... months later; the last value
    stays. A month with too few requests for the users that would come back has only the first of them.
    """
    active: list[Ints] = []
    first_of: list[int] = []
    known = 0
    for month, requests in enumerate(expected_requests):
        returning = []
        for cohort, first in enumerate(first_of):
            size = (first_of[cohort + 1] if cohort + 1 < len(first_of) else known) - first
            part = retention[min(month - cohort, len(retention)) - 1]
            returning.append(first + np.sort(rng.permutation(size)[: round(size * part)]))
        back = np.concatenate(returning) if returning else np.empty(0, np.int64)
        back = back[: int(requests * FULLEST)]
        room = int(requests * FULLEST) - len(back)
        wanted = max(round(requests / requests_per_user) - len(back), round(0.05 * requests / requests_per_user))
        new = max(0, min(wanted, room))
        if requests > 0 and not len(back) + new:
            new = 1
        first_of.append(known)
        active.append(np.concatenate([back, np.arange(known, known + new)]).astype(np.int64))
        known += new
    return active


class Users:
    """Gives each event of a month its user and session.

    expected_requests: requests of each model in each month of the scenario. retention: by model, `all` for the others.
    """

    def __init__(
        self,
        expected_requests: Mapping[str, Sequence[float]],
        retention: Mapping[str, Sequence[float]],
        requests_per_user: float,
        seed: int,
    ) -> None:
        self._active: dict[str, list[Ints]] = {}
        self._next: dict[tuple[str, int], int] = {}
        largest = 1
        for model, expected in sorted(expected_requests.items()):
            rng = np.random.default_rng([seed, zlib.crc32(model.encode())])
            curve = retention.get(model, retention["all"])
            active = [rng.permutation(users) for users in cohorts(expected, curve, requests_per_user, rng)]
            self._active[model] = active
            largest = max(largest, *(int(users.max(initial=0)) + 1 for users in active))
        # One population for all models: who uses one of them uses others too.
        population = largest + largest // 2
        self._shift = {model: zlib.crc32(model.encode()) % population for model in self._active}
        fixed = np.random.default_rng([seed, 1])
        self._users: npt.NDArray[Any] = np.frombuffer(fixed.bytes(16 * population), "V16")
        self._sessions: npt.NDArray[Any] = np.frombuffer(fixed.bytes(16 * population * SESSIONS_PER_USER), "V16")

    def active(self, model: str, month: int) -> int:
        """How many users a model has in a month."""
        return len(self._active[model][month])

    def take(self, models: Sequence[str], codes: npt.NDArray[Any], month: int) -> tuple[Any, Any]:
        """Hashes of the users and of their sessions, of events whose model is models[code]."""
        numbers = np.zeros(len(codes), np.int64)
        turns = np.zeros(len(codes), np.int64)
        for code, model in enumerate(models):
            places = np.flatnonzero(codes == code)
            users = self._active[model][month]
            if not len(places) or not len(users):
                continue
            first = self._next.get((model, month), 0)
            self._next[model, month] = first + len(places)
            turn = first + np.arange(len(places))
            numbers[places] = (users[turn % len(users)] + self._shift[model]) % (len(self._users))
            turns[places] = turn // len(users)
        return self._users[numbers], self._sessions[numbers * SESSIONS_PER_USER + turns % SESSIONS_PER_USER]
