"""Activities: thin steps, each one domain call with a typed outcome."""
