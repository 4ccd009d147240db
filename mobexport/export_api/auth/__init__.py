"""Authentication of the Export API's callers: bearer tokens of Microsoft Entra ID."""
