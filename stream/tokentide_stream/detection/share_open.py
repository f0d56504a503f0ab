"""A shift that was told and has not ended: which keys belong to it, and when it is over. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tokentide_stream.detection.findings import EndReason, Measure, ShareShift
from tokentide_stream.detection.mix_reference import MixReference
from tokentide_stream.detection.season import long_s
from tokentide_stream.detection.share_config import ShareShiftConfig
from tokentide_stream.detection.share_kinds import Candidate

_HOUR_S = 3_600


@dataclass
class OpenShift:
    """A shift that was told. members: every key that it holds, those included that only moved along with it."""

    shift: ShareShift
    measure: Measure
    members: dict[int, float]
    opened: int
    opened_s: float
    calm: int = 0
    peaks: dict[tuple[int, Measure], float] = field(default_factory=dict)
    lead: list[int] = field(default_factory=list)
    span: int = 2
    """Over how many windows it was seen, and its end is."""

    def takes_along(self, candidate: Candidate, time_s: float, observed: float) -> bool:
        """True where this shift explains it, soon after it or as the other side of what it moved: the key is a member
        from then on. observed: the key's amount now."""
        age_s, window_s = time_s - self.opened_s, self.shift.window_s
        lead = self.members[self.lead[0]]
        outage = candidate.effect < 0 and not candidate.slow and observed == 0
        follows = age_s <= max(3_600, 4 * window_s) and not (outage and age_s > 3 * window_s)
        makes_room = (
            candidate.effect * lead < 0
            and abs(candidate.effect) <= 1.2 * abs(lead)
            and age_s <= long_s(window_s)
            and not outage
        )
        if follows or makes_room:
            self.members[candidate.key] = candidate.effect
        return follows or makes_room

    def see_peaks(self, mixes: Mapping[Measure, MixReference]) -> None:
        """How far each member has been off by each measure: what is told later has to be more than that."""
        for measure, mix in mixes.items():
            effect = mix.recent_effect(2)
            for key in self.members:
                if abs(effect[key]) > abs(self.peaks.get((key, measure), 0.0)):
                    self.peaks[key, measure] = float(effect[key])

    def reason_to_end(
        self, mix: MixReference, config: ShareShiftConfig, time_s: float, windows: int, is_learning: bool
    ) -> EndReason | None:
        """Back, or here to stay; None while it lasts. windows: how many the detector has seen."""
        effect = mix.recent_effect(self.span)
        lead = self.lead[0]
        size = self.members[lead]
        now = float(effect[lead]) * (1 if size > 0 else -1)
        back = now < max(0.3 * abs(size), 0.4 * config.min_effect_pp / 100)
        self.calm = self.calm + 1 if back else 0
        if self.calm >= 2 and windows > self.opened + 2:
            return "returned"
        limit = config.learning_accept_after_s
        if not is_learning:
            limit = max(config.accept_after_s, long_s(config.window_s) if config.window_s > _HOUR_S else 0)
        if self.shift.kind == "outage":
            limit = config.outage_accept_after_s
        age_s = time_s - self.opened_s
        if age_s < limit:
            return None
        return "accepted" if mix.is_settled(lead, size) or age_s > 7 * limit else None
