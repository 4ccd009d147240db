"""Copy the files of a finished job to `exports/`."""
