"""Statistics of estimation: risk, its scaling laws, and how to choose parameters and experiments by it."""
