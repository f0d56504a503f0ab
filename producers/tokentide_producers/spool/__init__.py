"""What waits on disk while Kafka is away: segments of envelopes with their identity, and sending them again."""
