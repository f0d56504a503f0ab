"""`tokentide verify`: proof that every record is accounted for and every rollup equals its raw events."""
