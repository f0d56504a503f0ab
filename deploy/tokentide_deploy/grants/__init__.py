"""What each part may do at Kafka and ClickHouse: declared, rendered for their administrators, applied."""
