"""Before anything is spent: estimate, limits, forecast, advice. Knows model and control."""
