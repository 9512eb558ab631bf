"""What is known of a workload: plain objects and pure functions. No lock, no thread, no request."""
