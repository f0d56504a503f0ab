"""The built-in classifier on prompts that it was not trained on; `pytest -s` prints the table of docs/categories.md."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tokentide_producers.categories import CategoryInput, taxonomy
from tokentide_producers.categories.builtin import BuiltinClassifier, features_of, load_encoder, load_head
from tokentide_producers.categories.evaluation import Answer, accuracy, answers_of, score, table
from tokentide_producers.categories.training import fit, read_prompts

PROMPTS = Path(__file__).parents[2] / "data" / "category_prompts"
FLOORS = {"productivity": (0.8, 0.5), "science": (0.8, 0.65)}
"""Precision and recall that a category must reach at least; what is not named: 0.8 and 0.75."""


@pytest.fixture(scope="module")
def classifier() -> BuiltinClassifier:
    return BuiltinClassifier(load_encoder(), load_head())


@pytest.fixture(scope="module")
def answers(classifier: BuiltinClassifier) -> list[Answer]:
    excerpts, labels = read_prompts(PROMPTS / "held_out")
    found = answers_of(classifier, excerpts, labels.tolist())
    sys.stdout.write(f"\n{table(found)}\n")
    return found


@pytest.mark.parametrize("category", taxonomy.NAMES)
def test_each_category_is_found_and_little_else_is_taken_for_it(answers: list[Answer], category: str) -> None:
    precision, recall = FLOORS.get(category, (0.8, 0.75))
    found = score(answers, category)
    assert found.prompts >= 12
    assert found.precision >= precision and found.recall >= recall, found


def test_labels_are_right_more_often_than_answers_that_are_dropped(answers: list[Answer]) -> None:
    labels = [one for one in answers if one.is_label]
    dropped = [one for one in answers if not one.is_label]
    assert accuracy(labels) >= 0.9 and len(labels) >= 0.85 * len(answers)
    assert accuracy(dropped) < accuracy(labels)
    sure = [one for one in labels if one.confidence >= 0.8]
    assert accuracy(sure) >= 0.95


def test_no_prompt_of_the_test_is_one_of_the_training() -> None:
    def words(folder: str) -> list[frozenset[str]]:
        excerpts, _ = read_prompts(PROMPTS / folder)
        return [frozenset(one.user.casefold().split()) for one in excerpts]

    for test in words("held_out"):
        near = [one for one in words("train") if len(test & one) > 0.7 * len(test | one)]
        assert not near or len(test) <= 3, test


def test_a_pasted_document_is_judged_by_what_is_asked_of_it_and_its_subject(classifier: BuiltinClassifier) -> None:
    function = "def total(rows):\n    return sum(row['price'] * row['count'] for row in rows if row)\n\n"
    turns = [
        {"role": "system", "content": "You are a coding agent. Use the tools."},
        {"role": "user", "content": "there is a bug in the total of the invoice\n\n" + function * 200},
        {"role": "assistant", "content": "I have changed it."},
        {"role": "user", "content": "now add a test"},
    ]
    assert classifier.classify(CategoryInput(messages=turns).excerpt())[0] == "programming"


@pytest.mark.long
def test_training_again_gives_the_shipped_head() -> None:
    excerpts, labels = read_prompts(PROMPTS / "train")
    features = features_of(excerpts, load_encoder())
    again, shipped = fit(features, labels), load_head()
    # Other machines add in another order, and the shipped weights are stored in 16 bits.
    assert np.abs(again.probabilities(features) - shipped.probabilities(features)).max() < 0.02
