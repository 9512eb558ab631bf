"""What all tests need of their process."""

from __future__ import annotations

import signal

# A shell lets what runs in its background (`make test &`) ignore Ctrl-C; tests that interrupt would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
