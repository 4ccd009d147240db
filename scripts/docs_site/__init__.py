"""The docs site: Sphinx over the Markdown pages of this repository, as they stand. `make docs` builds it."""
