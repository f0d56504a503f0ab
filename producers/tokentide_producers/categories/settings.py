"""Settings of categories, from arguments or from the environment (`TOKENTIDE_CATEGORIES_...`)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import SettingsConfigDict

from tokentide_producers.categories.categorizer import Categorizer
from tokentide_producers.categories.classifying import DEFAULT_RATE, MIN_CONFIDENCE, SampledClassifier
from tokentide_producers.categories.loading import load_category_rules
from tokentide_schemas.settings import Settings


class CategorySettings(Settings):
    """Where the rules are, and whether a classifier runs."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_CATEGORIES_", extra="forbid")

    file: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = Field(
        None, description="YAML file with rules for categories."
    )
    classifier: Literal["none", "builtin"] = Field(
        "none", description="A classifier of prompts in the gateway; `builtin` needs the extra `classifier`."
    )
    sample_rate: float = Field(DEFAULT_RATE, gt=0, le=1, description="Share of the requests that it sees.")
    min_confidence: float = Field(MIN_CONFIDENCE, ge=0, le=1, description="Below it a request has no label.")


@lru_cache(maxsize=1)
def environment_categorizer() -> Categorizer | None:
    """What the environment asks for, made once for the process. Raises as `categorizer_from` does."""
    return categorizer_from(CategorySettings())


def categorizer_from(settings: CategorySettings, *, with_classifier: bool = True) -> Categorizer | None:
    """What the settings ask for; None when they ask for nothing.

    Loading the classifier's model takes seconds. Raises CategoriesFileError for rules that cannot be used and
    ClassifierUnavailableError when the extra is not installed.
    """
    rules = load_category_rules(settings.file) if settings.file is not None else None
    classifier = None
    if with_classifier and settings.classifier == "builtin":
        from tokentide_producers.categories.builtin import load_builtin_classifier

        classifier = SampledClassifier(
            load_builtin_classifier(), rate=settings.sample_rate, min_confidence=settings.min_confidence
        )
    return None if rules is None and classifier is None else Categorizer(rules=rules, classifier=classifier)
