"""`python -m tests.benchmarks.detection [--seeds N]`: detectors and baselines on labelled mixes and series.

Development seeds begin at 100: detectors and baselines' parameters were chosen on them. Final seeds begin at 3,000 and
are only looked at for the figures (those from 1,000 and 2,000 on have shown mistakes, and are development seeds since).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tokentide_stream.detection import detect_share_shifts, score

from . import series as series_module
from .baselines import SERIES_BASELINES, SHARE_BASELINES, rested, series_thresholds
from .judge import Tally, Told, judge
from .mixes import KINDS, Mix, make
from .nab import corpus_score
from .series import FAMILIES, Series

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


def _corpus(seeds: Sequence[int]) -> list[Series]:
    return [series_module.make(family, seed) for seed in seeds for family in FAMILIES]


def series_suite(count: int) -> None:
    development, final = _corpus(range(DEVELOPMENT, DEVELOPMENT + 1)), _corpus(range(FINAL, FINAL + count))
    _print(f"{'series, NAB-style score, one threshold':40s} {'score':>7s} {'threshold':>10s} {'us a value':>11s}")
    began = time.process_time()
    own = [score(s.times, s.values) for s in final]
    each = (time.process_time() - began) / sum(len(v) for v in own) * 1e6
    _print(f"{'tokentide':40s} {corpus_score(final, own, _OWN_THRESHOLD):7.1f} {_OWN_THRESHOLD:10.3f} {each:11.0f}")
    for name, detect in SERIES_BASELINES.items():
        before = [detect(s) for s in development]
        began = time.process_time()
        after = [detect(s) for s in final]
        each = (time.process_time() - began) / sum(len(v) for v in after) * 1e6
        for suffix, rest in (("", False), (" with our rest after an alarm", True)):
            tries = series_thresholds(before)
            results = [(corpus_score(development, [rested(v, t) if rest else v for v in before], t), t) for t in tries]
            best = max(results)[1]
            got = corpus_score(final, [rested(v, best) if rest else v for v in after], best)
            _print(f"{name + suffix:40s} {got:7.1f} {best:10.3f} {each:11.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.detection")
    parser.add_argument("--seeds", type=int, default=6, help="final seeds a kind (default 6)")
    parser.add_argument("--tuning-seeds", type=int, default=2, help="development seeds for the baselines (default 2)")
    parser.add_argument("--largest", type=int, default=25_000, help="cells (windows x keys) of a mix at most")
    parser.add_argument("--only", choices=("shares", "series"))
    options = parser.parse_args()
    np.seterr(all="raise", under="ignore")
    if options.only != "series":
        share_suite(options.seeds, options.tuning_seeds, options.largest)
        _print()
    if options.only != "shares":
        series_suite(max(1, options.seeds // 3))


if __name__ == "__main__":
    main()
