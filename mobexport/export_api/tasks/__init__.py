"""Export tasks: their registry, their parameters, their counts."""
