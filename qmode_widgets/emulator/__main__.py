"""`python -m qmode_widgets.emulator`: an embedded service in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import sys

from qmode_widgets.emulator.options import Options


def main() -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m qmode_widgets.emulator",
        description="An embedded IBM Quantum service on loopback. Once it can answer it prints export lines; with them "
        "set, an unmodified QiskitRuntimeService() talks to it. Runs until SIGINT or SIGTERM.",
    )
    Options.add_to(parser)
    parser.add_argument(
        "--like",
        metavar="ACCOUNT",
        help="be the twin of a saved account's service, or of the file of a twin; --backends says which of its "
        "backends, all by default",
    )
    parser.add_argument("--env-file", metavar="PATH", help="write the export lines to this file, too")
    parser.add_argument("--runtime-file", metavar="PATH", help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        options = Options.parsed(args)
        if args.like is not None:
            from qmode_widgets.emulator.client.recorder import like_account

            options = like_account(args.like, options)
        from qmode_widgets.emulator.http.serve import Announcement, serve

        announcement = Announcement(args.env_file, args.runtime_file, options)
        try:
            asyncio.run(serve(options, announcement, parent=args.parent))
        finally:
            announcement.withdraw()
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
