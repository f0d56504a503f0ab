"""How much of everything a volume of tokens needs, from costs that were measured."""
