"""Sampling from posteriors."""
