"""What a spectrum explains: counts of eigenvalues, subspaces and their uncertainty, long products, attribution."""
