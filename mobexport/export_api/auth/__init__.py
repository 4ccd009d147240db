"""Who may call the Export API: bearer tokens of Microsoft Entra ID."""
