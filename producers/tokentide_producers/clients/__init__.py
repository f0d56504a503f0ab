"""Telemetry from the clients of model APIs: `openai` (and all that speak its interface) and `anthropic`.

from tokentide_producers.clients import instrument, labels

client = instrument(openai.OpenAI(), emitter, app="checkout")
with labels(category="programming", user="alice"):
    client.chat.completions.create(model="gpt-4o", messages=[...])
"""

from tokentide_producers.clients.instrumentation import instrument, uninstrument
from tokentide_producers.clients.labels import labels

__all__ = ["instrument", "labels", "uninstrument"]
