"""What an agent can read before it spends anything: the rules of execution modes, and prompts.

Source: the guides on execution modes and on estimating usage at quantum.cloud.ibm.com/docs/guides.
"""

from __future__ import annotations

MODES = """# Which execution mode

- **job**: one job, or jobs that need not run close together. Each queues by itself. Billed: QPU time of the job.
- **batch**: many jobs that are all known at the start. Their classical preparation runs in parallel, so they finish
  sooner than one by one. Billed: the sum of the jobs' QPU time. Available on every plan.
- **session**: each step needs the result of the step before (VQE, QAOA, tuning). The QPU is yours while the session is
  active. Billed: the wall-clock time for which it is active, idle time included. Not available on the Open Plan.

Rules

1. Not sure: use job mode. Several independent jobs: use a batch. An iterative loop that would wait in the queue again
   and again: use a session.
2. One job with many PUBs costs less than many jobs with one: each job adds some seconds of overhead.
3. Close a session as soon as the loop ends. Do classical work that takes long before it is opened, or after.
4. The interactive TTL closes the gap between jobs: a session that idles for longer (about a minute) goes through the
   queue again. The max TTL ends a workload, whatever still waits in it.
5. Only circuits in the backend's own gates run (ISA circuits): pass transpile=true, or transpile yourself.
6. A usage limit of a workload is a bound on QPU seconds, failed attempts included. A running job bills what it used
   until it was cancelled.
"""

USAGE = """# Usage and caps

- Usage is QPU seconds. One job: about 2 s of overhead, plus shots x (circuit duration + repetition delay) for each
  circuit and parameter set. `estimate` tells low, expected and high with its formula.
- `usage_cap_seconds` is mandatory. Choose it with the user, or somewhat above `high` of the estimate.
- The cap lives in this server while it runs; each job carries what is left of it as its maximum execution time, which
  the service keeps.
- The same call never pays twice: `key` in the answer names the work. Ask again with the same arguments after a
  time-out. For the same work once more, pass another key.
- Mitigation multiplies usage: ZNE by the number of noise factors, twirling by little. TREX adds a calibration of the
  readout.
- What this server did not open it does not end without `whose`, which you pass after the user agreed.
"""


def spend_at_most(seconds: str, task: str) -> str:
    """The prompt `spend_at_most`."""
    return f"""Do this on IBM Quantum hardware, and spend at most {seconds} QPU seconds in all: {task}

1. Call `usage` and `backends`: which instance pays, what it has left, which backend has the shortest queue.
2. Call `plan` with the circuits. Tell me the mode, the expected bill and what it assumes. If the low end is above
   {seconds} s, propose fewer shots or circuits, and stop.
3. Call `submit` with usage_cap_seconds of at most {seconds} minus what was used before, and a `key` of your own.
   After a time-out call it again with the same key.
4. Call `watch` until it is finished. Report the result, the usage that was billed, and what is left of the
   {seconds} s. Do not resubmit a failed job without asking me."""


def review_open_workloads() -> str:
    """The prompt `review_open_workloads`."""
    return """Call `list`, and `watch` for each workload that is open. Tell me which ones cost usage now, which are idle
sessions, and what each has used against its limits. Cancel nothing without asking me."""
