"""Export jobs at an Export API: create, ask, give up waiting."""
