"""`tokentide import` put together: which Kafka, which store, which ledger, and what the user sees."""
