"""Run the app and its storage on this machine."""
