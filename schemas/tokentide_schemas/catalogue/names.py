"""Which catalogue names a model name could stand for: the pure rules behind `Catalogue.resolve`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set

# Words that gateways append to a model's name after a colon. They choose a route, a price or a mode, not another model.
# Other words after a colon (`llama3:8b`) belong to the name.
VARIANTS = frozenset(
    {"free", "thinking", "extended", "beta", "nitro", "floor", "online", "exacto", "batch", "flex", "priority"},
)

_PATH_TO_MODEL = re.compile(r"^(?:.*/)?(?:(?:publishers|accounts)/[^/]+/)?models/(?=[^/]+$)")
_REGION_AND_VENDOR = re.compile(
    r"^(?:(?:us-gov|us|eu|apac|global|jp|au|ca|sa)\.)?(?P<vendor>[a-z0-9-]+)\.(?P<rest>.+)$"
)
_BEDROCK_REVISION = re.compile(r":\d+$")  # anthropic.claude-sonnet-4-20250514-v1:0
_BEDROCK_VERSION = re.compile(r"-v\d+$")
_SUFFIXES = (
    re.compile(r"@[a-z0-9-]+$"),  # claude-sonnet-4@20250514, gemini-1.5-pro@001
    re.compile(r"-20\d{6}$"),  # claude-sonnet-4-20250514
    re.compile(r"-20\d\d-\d\d-\d\d$"),  # gpt-4o-2024-08-06
    re.compile(r"-latest$"),
    re.compile(r"-00\d$"),  # gemini-1.5-pro-002
)


def fold(name: str) -> str:
    """The form in which names are compared: no outer spaces, lower case."""
    return name.strip().lower()


def fold_provider(name: str) -> str:
    """The form in which provider names are compared: `Amazon Bedrock` and `amazon_bedrock` are `amazon-bedrock`."""
    return re.sub(r"[\s_]+", "-", fold(name))


def split_variant(name: str) -> tuple[str, str]:
    """`("deepseek/deepseek-r1", "free")` of `deepseek/deepseek-r1:free`; the variant is empty where there is none."""
    base, colon, word = name.rpartition(":")
    if colon and fold(word) in VARIANTS:
        return base, fold(word)
    return name, ""


def implied_names(model_id: str) -> set[str]:
    """Names that need no alias: the id, its part after the slash, and both with dashes for dots."""
    bare = model_id.partition("/")[2]
    return {model_id, bare, model_id.replace(".", "-"), bare.replace(".", "-")}


def candidates(name: str, authors: Mapping[str, str], routes: Set[str]) -> Iterator[str]:
    """What a name may be in the catalogue, most specific first; the first that the catalogue knows is meant.

    `authors` leads from each author's folded id or alias to its id, `routes` holds folded provider names that may
    stand in front of a model name (`azure/gpt-4o`). Names that fit no rule give only themselves.
    """
    folded = fold(name)
    for form in (folded, split_variant(folded)[0]):
        for located in _without_route(form, routes):
            for full in _with_author(located, authors):
                yield from _without_suffixes(full)


def _without_route(form: str, routes: Set[str]) -> Iterator[str]:
    yield form
    bare = _PATH_TO_MODEL.sub("", form)
    if bare != form:
        yield bare
    rest = form
    while "/" in rest:
        head, _, tail = rest.partition("/")
        if fold_provider(head) not in routes:
            return
        rest = tail
        yield rest


def _with_author(form: str, authors: Mapping[str, str]) -> Iterator[str]:
    yield form
    head, slash, tail = form.partition("/")
    if slash:
        if head in authors:
            yield f"{authors[head]}/{tail}"
        return
    match = _REGION_AND_VENDOR.match(form)
    if match and match["vendor"] in authors:
        yield f"{authors[match['vendor']]}/{match['rest']}"


def _without_suffixes(form: str) -> Iterator[str]:
    yield form
    revision_cut = _BEDROCK_REVISION.sub("", form)
    if revision_cut != form:
        yield revision_cut
        # Only behind a revision is -v2 certainly a version of the packaging; elsewhere it may name another model.
        form = _BEDROCK_VERSION.sub("", revision_cut)
        yield form
    shortened = True
    while shortened:
        shortened = False
        for suffix in _SUFFIXES:
            cut = suffix.sub("", form)
            if cut != form:
                form, shortened = cut, True
                yield form
