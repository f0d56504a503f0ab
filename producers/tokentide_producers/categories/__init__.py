"""Categories of requests: rules, the gateway's own labels, and a classifier on a sampled share, inside this process.

categories = Categorizer(rules=load_category_rules(Path("categories.yaml")))
emitter = Emitter("127.0.0.1:9092", categories=categories)
emitter.emit(..., category_input=CategoryInput(route="/v1/code", tags=("ide",), messages=messages))
"""

from tokentide_producers.categories.categorizer import Categorizer, CategoryStats
from tokentide_producers.categories.classifying import ClassifierStats, SampledClassifier, TextClassifier
from tokentide_producers.categories.inputs import CategoryInput, Excerpt
from tokentide_producers.categories.label import Label
from tokentide_producers.categories.loading import CategoriesFileError, load_category_rules
from tokentide_producers.categories.rules import Rule, RuleSet

__all__ = [
    "CategoriesFileError",
    "Categorizer",
    "CategoryInput",
    "CategoryStats",
    "ClassifierStats",
    "Excerpt",
    "Label",
    "Rule",
    "RuleSet",
    "SampledClassifier",
    "TextClassifier",
    "load_category_rules",
]
