"""Detectors: plain, causal functions and step-wise classes without IO. docs/detection.md says how each one works."""

from __future__ import annotations

from tokentide_stream.detection.budget import BudgetConfig, BudgetDetector
from tokentide_stream.detection.detect_shares import detect_share_shifts
from tokentide_stream.detection.findings import (
    Changes,
    Finding,
    FindingEnd,
    KeyPart,
    ShareShift,
    ShareShiftEnd,
    Sums,
    Transitions,
)
from tokentide_stream.detection.latency import LatencyConfig, LatencyDetector
from tokentide_stream.detection.new_key import NewKeyConfig, NewKeyDetector
from tokentide_stream.detection.price_change import PriceChangeConfig, PriceChangeDetector
from tokentide_stream.detection.proportion import ProportionConfig, ProportionDetector
from tokentide_stream.detection.series_score import score
from tokentide_stream.detection.share_config import ShareShiftConfig
from tokentide_stream.detection.share_shift import ShareShiftDetector
from tokentide_stream.detection.volume import VolumeConfig, VolumeDetector

__all__ = [
    "BudgetConfig",
    "BudgetDetector",
    "Changes",
    "Finding",
    "FindingEnd",
    "KeyPart",
    "LatencyConfig",
    "LatencyDetector",
    "NewKeyConfig",
    "NewKeyDetector",
    "PriceChangeConfig",
    "PriceChangeDetector",
    "ProportionConfig",
    "ProportionDetector",
    "ShareShift",
    "ShareShiftConfig",
    "ShareShiftDetector",
    "ShareShiftEnd",
    "Sums",
    "Transitions",
    "VolumeConfig",
    "VolumeDetector",
    "detect_share_shifts",
    "score",
]
