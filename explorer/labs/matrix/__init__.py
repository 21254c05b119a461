"""Matrix inversion and matrix functions: the unknown is a matrix."""
