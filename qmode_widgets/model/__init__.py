"""Ground floor: pure data and rules. No I/O, no client, no Jupyter."""
