"""The embedded service itself, without HTTP: instances, workloads, jobs and what happens to them."""
