"""Activities: thin steps, settings → one domain call → a tagged outcome."""
