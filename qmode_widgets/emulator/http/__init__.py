"""The HTTP surface of the embedded service."""
