"""The demo: sample data, an independent count, and the story of ten exports."""
