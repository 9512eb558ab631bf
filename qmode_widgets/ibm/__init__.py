"""Everything that knows the client or the JSON of IBM's service."""
