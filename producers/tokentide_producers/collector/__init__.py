"""The collector: usage events over HTTP, from anybody's client, answered when Kafka has them."""
