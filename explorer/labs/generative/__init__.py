"""Generative priors, and samplers that invert with them."""
