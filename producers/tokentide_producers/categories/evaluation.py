"""How right a classifier is on labelled prompts: for each category, and of its confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tokentide_producers.categories import taxonomy
from tokentide_producers.categories.classifying import MIN_CONFIDENCE, TextClassifier
from tokentide_producers.categories.inputs import Excerpt

_STEPS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Answer:
    """One prompt's category, what the classifier said, and how sure it was."""

    truth: str
    said: str
    confidence: float

    @property
    def is_label(self) -> bool:
        """Whether it is sure enough to be stored."""
        return self.confidence >= MIN_CONFIDENCE


@dataclass(frozen=True)
class Score:
    """Of one category, over the answers that are labels: precision and F1; recall over all prompts of the category."""

    prompts: int
    labelled: int
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def answers_of(classifier: TextClassifier, excerpts: Sequence[Excerpt], labels: Sequence[int]) -> list[Answer]:
    """Classify labelled prompts; labels: numbers in `taxonomy.NAMES`."""
    answers = []
    for excerpt, label in zip(excerpts, labels, strict=True):
        said, _, confidence = classifier.classify(excerpt)
        answers.append(Answer(taxonomy.NAMES[label], said, confidence))
    return answers


def score(answers: Sequence[Answer], category: str) -> Score:
    """Of one category. A prompt whose answer is no label is not found: it lowers recall, not precision."""
    own = [one for one in answers if one.truth == category]
    claimed = [one for one in answers if one.said == category and one.is_label]
    right = sum(one.truth == category for one in claimed)
    labelled = sum(one.is_label for one in own)
    return Score(len(own), labelled, right / len(claimed) if claimed else 0.0, right / len(own) if own else 0.0)


def accuracy(answers: Sequence[Answer]) -> float:
    """Share of right answers; 0 of none."""
    return sum(one.truth == one.said for one in answers) / len(answers) if answers else 0.0


def table(answers: Sequence[Answer]) -> str:
    """The evaluation as Markdown: categories, confusions, calibration."""
    return "\n".join(_table(answers))


def _table(answers: Sequence[Answer]) -> Iterator[str]:
    labels = [one for one in answers if one.is_label]
    share = len(labels) / len(answers)
    yield f"{len(answers)} prompts, {len(labels)} ({share:.0%}) with a label (confidence {MIN_CONFIDENCE} or more)."
    yield f"Right: {accuracy(labels):.1%} of the labels; {accuracy(answers):.1%} of all answers, sure or not."
    yield ""
    yield "| category | prompts | labelled | precision | recall | F1 | taken for |"
    yield "|---|---|---|---|---|---|---|"
    for name in taxonomy.NAMES:
        one = score(answers, name)
        wrong = Counter(a.said for a in labels if a.truth == name and a.said != name)
        taken = ", ".join(f"{said} {number}" for said, number in sorted(wrong.items()))
        figures = f"{one.precision:.2f} | {one.recall:.2f} | {one.f1:.2f}"
        yield f"| {name} | {one.prompts} | {one.labelled} | {figures} | {taken} |"
    yield ""
    yield "| confidence | answers | right |"
    yield "|---|---|---|"
    for low, high in zip((0.0, *_STEPS[:-1]), _STEPS, strict=True):
        within = [one for one in answers if low <= one.confidence < high or (high == 1.0 and one.confidence == 1.0)]
        yield f"| {low:.1f} to {high:.1f} | {len(within)} | {f'{accuracy(within):.0%}' if within else ''} |"
