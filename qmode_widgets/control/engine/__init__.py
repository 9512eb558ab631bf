"""What runs by itself, on the loop of the portal: the only writer of state."""
