"""`score`: how improbable each value of a series is, given the values before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def score(timestamps: Sequence[Any], values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Anomaly scores in [0, 1], one for each value."""
    raise NotImplementedError
