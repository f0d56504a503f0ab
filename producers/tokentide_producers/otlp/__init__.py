"""OpenTelemetry spans to usage events: OTLP's two encodings, the names of the conventions, one event a model call."""
