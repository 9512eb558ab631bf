"""Worker processes that read, time and simulate jobs."""
