"""The wings: each lab holds what only its kind of problem needs."""
