"""The root categories of the study "State of AI: An Empirical 100 Trillion Token Study" (OpenRouter and a16z, 2025)."""

from __future__ import annotations

from typing import Final, NamedTuple


class Root(NamedTuple):
    """One root category. meaning: what belongs to it. subcategories: names that shipped dashboards and tests know."""

    name: str
    meaning: str
    subcategories: tuple[str, ...] = ()


ROOTS: Final = (
    Root(
        "programming", "Writing, reading, fixing and running code; development tools.", ("development_tools", "other")
    ),
    Root("roleplay", "Playing a character, interactive fiction, companions.", ("rpg", "writers_resources", "adult")),
    Root("technology", "Devices, software and services as their user or buyer; news of technology."),
    Root("translation", "From one natural language into another."),
    Root("science", "Natural and formal sciences, engineering, machine learning.", ("machine_learning_and_ai",)),
    Root("trivia", "General questions and facts without a field of their own."),
    Root("academia", "Studying, teaching, theses, papers, applications to schools."),
    Root("productivity", "Mails, summaries, plans, minutes, documents of office life."),
    Root("literature", "Poems, stories, novels: writing them and writing about them."),
    Root("marketing", "Advertising, search engine optimisation, social media, product texts."),
    Root("legal", "Contracts, law, courts, compliance."),
    Root("finance", "Money, investing, accounting, taxes, economy."),
    Root("health", "Medicine, fitness, nutrition, mental health."),
    Root("adult", "Sexual content, not in a game of roles."),
    Root("other", "Everything that is none of these: greetings, tests of the connection, noise."),
)
NAMES: Final = tuple(root.name for root in ROOTS)
