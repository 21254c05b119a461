"""Bilinear problems: the data are linear in each of two unknowns."""
