"""What runs in the user's kernel: finding or starting an embedded service, and connecting to it."""
