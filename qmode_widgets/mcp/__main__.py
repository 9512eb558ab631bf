"""`python -m qmode_widgets.mcp`: serve one agent over standard input and output."""

from __future__ import annotations

import argparse
import signal
import sys
from importlib.util import find_spec


def main() -> int:
    """Parse the command line and serve until the client closes the connection."""
    parser = argparse.ArgumentParser(
        prog="python -m qmode_widgets.mcp",
        description="An MCP server over standard input and output: plan, estimate, list, watch, submit (with a usage "
        "cap), cancel and resubmit IBM Quantum workloads. It uses the saved account, unless told otherwise.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--emulator", action="store_true", help="use the embedded service: no account, nothing is billed"
    )
    where.add_argument("--account", metavar="NAME", help="use the saved account of this name")
    parser.add_argument("--instance", metavar="NAME", help="use this instance only: its name or CRN")
    args = parser.parse_args()
    if missing := [name for name in ("mcp", "qiskit_qasm3_import") if find_spec(name) is None]:
        print(f"{parser.prog}: {' and '.join(missing)} missing: pip install 'qmode-widgets[mcp]'", file=sys.stderr)
        return 2
    from .connection import Connection
    from .server import serve

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # clients send it soon after they closed the connection
    serve(Connection(emulator=args.emulator, account=args.account, instance=args.instance))
    return 0


if __name__ == "__main__":
    sys.exit(main())
