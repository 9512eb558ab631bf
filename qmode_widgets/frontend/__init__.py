"""How it reaches a screen. Knows model, control and planning."""
