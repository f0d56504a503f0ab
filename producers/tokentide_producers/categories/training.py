"""Training of the built-in classifier's head: `python -m tokentide_producers.categories.training PROMPTS_FOLDER`.

PROMPTS_FOLDER has one file for each root category, one prompt on each line (`\\n` is a line break, `system ||| user` a
prompt with a system prompt). Writes head.npz beside this module and prints its SHA-256, which belongs into `builtin`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tokentide_producers.categories import taxonomy
from tokentide_producers.categories.builtin import HEAD_FILE, Floats, Head, features_of, load_encoder
from tokentide_producers.categories.inputs import CategoryInput, Excerpt

L2: Final = 3e-5
"""Chosen by cross-validation on the training prompts alone."""
STEPS: Final = 200
_SYSTEM_SIGN: Final = " ||| "


def read_prompts(folder: Path) -> tuple[list[Excerpt], npt.NDArray[np.int64]]:
    """Prompts as a classifier gets them, and the number of each one's category in `taxonomy.NAMES`."""
    excerpts: list[Excerpt] = []
    labels: list[int] = []
    for number, name in enumerate(taxonomy.NAMES):
        for line in (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines():
            if line.strip():
                system, sign, user = line.replace("\\n", "\n").partition(_SYSTEM_SIGN)
                given = CategoryInput(system=system, text=user) if sign else CategoryInput(text=system)
                excerpts.append(given.excerpt())
                labels.append(number)
    return excerpts, np.array(labels)


def fit(features: Floats, labels: npt.NDArray[np.int64], l2: float = L2, steps: int = STEPS) -> Head:
    """Softmax regression by Nesterov's accelerated gradient; each category has the same weight in the loss."""
    size = features.shape[1]
    categories = len(taxonomy.NAMES)
    wanted = np.eye(categories)[labels]
    importance = 1.0 / np.bincount(labels, minlength=categories)[labels]
    importance = (importance / importance.sum())[:, None]
    # An upper bound of the gradient's slope: that of the softmax is at most 1/2.
    slope = 0.5 * float(np.linalg.norm(features, 2)) ** 2 * float(importance.max()) + 0.5 + l2
    weights, bias = np.zeros((size, categories)), np.zeros(categories)
    ahead, bias_ahead = weights, bias
    for step in range(steps):
        error = (Head(ahead, bias_ahead).probabilities(features) - wanted) * importance  # type: ignore[arg-type]
        new = ahead - (features.T @ error + l2 * ahead) / slope
        new_bias = bias_ahead - error.sum(axis=0) / slope
        momentum = step / (step + 3)
        ahead, bias_ahead = new + momentum * (new - weights), new_bias + momentum * (new_bias - bias)
        weights, bias = new, new_bias
    return Head(np.asarray(weights, np.float32), np.asarray(bias, np.float32))


def main(arguments: Sequence[str]) -> int:
    """Train, write, print the hash."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tokentide_producers.categories.training PROMPTS_FOLDER\n")
        return 2
    excerpts, labels = read_prompts(Path(arguments[0]))
    head = fit(features_of(excerpts, load_encoder()), labels)
    path = Path(__file__).with_name(HEAD_FILE)
    with path.open("wb") as file:
        np.savez(file, weights=head.weights.astype(np.float16), bias=head.bias)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sys.stdout.write(f"{len(excerpts)} prompts, {path.stat().st_size} bytes\nHEAD_SHA256 = {digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
