"""Worker process: imports the function app and runs its functions, apart from the host."""
