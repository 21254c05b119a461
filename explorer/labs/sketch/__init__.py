"""Randomised linear algebra: sketches that make a problem small, and what they cost in accuracy."""
