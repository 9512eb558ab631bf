"""The embedded service: reached over HTTP only, exactly as IBM's is. Knows model."""
