"""Nonlinear forward models."""
