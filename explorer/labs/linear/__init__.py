"""Linear problems of their own kind: graphs, models to merge, sequences to relax, systems to identify, scanners."""
