"""`python -m tests.benchmarks.detection [--seeds N]`: detectors and baselines on labelled mixes and series.

Development seeds begin at 100: detectors and baselines' parameters were chosen on them. Final seeds begin at 3,000 and
are only looked at for the figures (those from 1,000 and 2,000 on have shown mistakes, and are development seeds since).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import numpy as np

from tokentide_stream.detection import detect_share_shifts, score

from . import outside_mixes, plain_mixes, public_like
from . import series as series_module
from .baselines import SERIES_BASELINES, SHARE_BASELINES, rested, series_thresholds
from .judge import Tally, Told, judge
from .mixes import KINDS, Mix, make
from .nab import PROFILES, Floats, average_precision, corpus_score
from .series import Series

DEVELOPMENT, FINAL = 100, 3_000
_OWN_THRESHOLD = 0.5
_COLUMNS = "{:24s} {:>9s} {:>7s} {:>6s} {:>12s} {:>14s} {:>6s}"


def own_told(mix: Mix) -> list[Told]:
    names = {name: place for place, name in enumerate(mix.names())}
    alerts = detect_share_shifts(mix.rows(), mix.window_s)
    return [
        Told(
            round((alert.detected_at - mix.start).total_seconds() / mix.window_s),
            tuple(names[key] for key in alert.keys),
            alert.kind,
        )
        for alert in alerts
    ]


def mixes(kind: str, seeds: Sequence[int], largest: int) -> Iterator[Mix]:
    """Mixes of that kind; those with more cells than `largest` are left out, so that a short run stays short."""
    for seed in seeds:
        mix = make(kind, seed)
        if mix.requests.size <= largest:
            yield mix


def tallies(told: Callable[[Mix], list[Told]], seeds: Sequence[int], largest: int) -> dict[str, Tally]:
    found = {}
    for kind in KINDS:
        tally = Tally()
        for mix in mixes(kind, seeds, largest):
            tally.add(judge(mix, told(mix)))
        found[kind] = tally
    return found


def overall(found: dict[str, Tally]) -> Tally:
    total = Tally()
    for tally in found.values():
        total.add(tally)
    return total


def _line(name: str, tally: Tally) -> str:
    labelled = bool(tally.hits + tally.misses)
    cells = (
        f"{tally.precision:.3f}",
        f"{tally.recall:.3f}" if labelled else "-",
        f"{tally.f1:.3f}" if labelled else "-",
        f"{tally.median_delay(True):.0f}/{tally.median_delay():.0f}" if tally.delays else "-",
        f"{tally.false_per_1000_key_days:.2f}",
        f"{tally.right_kind}/{tally.hits}" if labelled else "-",
    )
    return _COLUMNS.format(name, *cells)


def _print(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def share_suite(count: int, development: int, largest: int) -> None:
    final = range(FINAL, FINAL + count)
    own = tallies(own_told, final, largest)
    heads = ("precision", "recall", "F1", "delay abr/all", "false/1k kd", "kind")
    _print(_COLUMNS.format("share shifts, by kind", *heads))
    for kind, tally in own.items():
        _print(_line(kind, tally))
    _print(_line("OVERALL", overall(own)))
    _print()
    _print(_COLUMNS.format("overall, by detector", *heads))
    _print(_line("tokentide", overall(own)))
    for name, (detect, tries) in SHARE_BASELINES.items():
        tuning = range(DEVELOPMENT, DEVELOPMENT + development)
        best = max(tries, key=lambda p: overall(tallies(lambda m: detect(m, p), tuning, largest)).f1)  # noqa: B023
        _print(_line(f"{name} {best:g}", overall(tallies(lambda m: detect(m, best), final, largest))))  # noqa: B023


def outside_suite(count: int) -> None:
    """Mixes of two generators by other assumptions, by the windows' length, then by cause."""
    for module in (outside_mixes, plain_mixes):
        _outside(module, count)
        _print()


def _outside(module: ModuleType, count: int) -> None:
    heads = ("precision", "recall", "F1", "delay abr/all", "false/1k kd", "kind")
    _print(_COLUMNS.format(f"{module.__name__.rpartition('.')[2]}, by window", *heads))
    total = Tally()
    for window_s in module.WINDOWS_S:
        tally = Tally()
        for seed in range(FINAL, FINAL + count):
            mix = module.make(window_s, seed)
            tally.add(judge(mix, own_told(mix)))
        _print(_line(f"{window_s} s", tally))
        total.add(tally)
    _print(_line("OVERALL", total))
    for kind, delays in sorted(total.by_kind.items()):
        told = [delay for delay in delays if delay is not None]
        median = f"median delay {np.median(told):.0f} windows" if told else ""
        _print(f"  {kind:22s} {len(told)} of {len(delays)}, {median}")


def _corpora(seeds: Sequence[int]) -> dict[str, list[Series]]:
    return {
        name: [module.make(family, seed) for seed in seeds for family in module.FAMILIES]
        for name, module in (("plain families", series_module), ("after public series", public_like))
    }


def random_scores(series: Series) -> Floats:
    return np.random.default_rng(len(series.values)).random(len(series.values))


def _series_line(name: str, corpus: Sequence[Series], scores: Sequence[Floats], rest: bool, us: float) -> None:
    """A column for each profile of the benchmark, each with the one threshold that is best for it, as its rules are."""
    cells = []
    for profile in PROFILES:
        tries = best_thresholds(scores)
        results = [corpus_score(corpus, [rested(v, t) if rest else v for v in scores], t, profile) for t in tries]
        cells.append(f"{max(results):14.1f}")
    precision = [average_precision(s, v) for s, v in zip(corpus, scores, strict=True)]
    _print(f"{name:38s} {' '.join(cells)} {np.nanmean(precision):10.3f} {us:11.0f}")


def best_thresholds(scores: Sequence[Floats]) -> list[float]:
    return [0.5, *series_thresholds(scores)]


def series_suite(count: int) -> None:
    for name, corpus in _corpora(range(FINAL, FINAL + count)).items():
        heads = " ".join(f"{profile.name:>14s}" for profile in PROFILES)
        _print(f"{name:38s} {heads} {'mean AP':>10s} {'us a value':>11s}")
        detectors: dict[str, Callable[[Series], Floats]] = {
            "tokentide": lambda s: score(s.times, s.values),
            **SERIES_BASELINES,
            "random": random_scores,
        }
        for detector, detect in detectors.items():
            began = time.process_time()
            scores = [detect(s) for s in corpus]
            us = (time.process_time() - began) / sum(len(v) for v in scores) * 1e6
            _series_line(detector, corpus, scores, False, us)
            if detector == "tokentide":
                fixed = " ".join(f"{corpus_score(corpus, scores, _OWN_THRESHOLD, p):14.1f}" for p in PROFILES)
                _print(f"{'  at 0.5':38s} {fixed}")
            elif detector != "random":
                _series_line(f"{detector} with our rest", corpus, scores, True, us)
        _print()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.detection")
    parser.add_argument("--seeds", type=int, default=6, help="final seeds a kind (default 6)")
    parser.add_argument("--tuning-seeds", type=int, default=2, help="development seeds for the baselines (default 2)")
    parser.add_argument("--largest", type=int, default=25_000, help="cells (windows x keys) of a mix at most")
    parser.add_argument("--only", choices=("shares", "outside", "series"))
    options = parser.parse_args()
    np.seterr(all="raise", under="ignore")
    if options.only in (None, "shares"):
        share_suite(options.seeds, options.tuning_seeds, options.largest)
        _print()
    if options.only in (None, "outside"):
        outside_suite(2 * options.seeds)
    if options.only in (None, "series"):
        series_suite(max(1, options.seeds // 3))


if __name__ == "__main__":
    main()
