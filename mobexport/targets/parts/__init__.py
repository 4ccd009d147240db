"""Parts of several kinds of targets."""
