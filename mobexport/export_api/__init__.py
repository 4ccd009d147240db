"""The server half: the Export API over a team's own raw data."""
