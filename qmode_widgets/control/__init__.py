"""While a workload runs: submit, watch, cancel, resubmit, merge. Knows model."""
