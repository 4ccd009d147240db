"""Version that the host tells."""

VERSION = "4.0.0-devhost"
