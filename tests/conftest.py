"""What all tests need of their process."""

from __future__ import annotations

import os
import signal

# A shell lets what runs in its background (`make test &`) ignore Ctrl-C; tests that interrupt would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# IBM's client names its callers in a header of each request, and searches the stack for them: in a process with the
# modules of Qiskit and pytest that is a third of the CPU of all contract tests. This is its own documented switch.
os.environ.setdefault("USAGE_DATA_OPT_OUT", "True")
