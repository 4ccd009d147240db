"""Pages that the app serves, made on the server."""
