"""`tokentide doctor`: likely mistakes, found by reading only. Facts are gathered (IO), then judged (pure)."""
