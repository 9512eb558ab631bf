"""Find a Chromium, or install Debian's: the browser tests need a real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# Debian's names. The headless shell is the same Chromium without windows of its own: a page costs a quarter less.
PACKAGES = ("chromium-headless-shell", "chromium")
NAMES = (*PACKAGES, "chromium-browser", "google-chrome-stable", "google-chrome")


def find() -> str | None:
    """The path of an installed Chromium."""
    told = os.environ.get("CHROMIUM")
    return told or next((path for name in NAMES if (path := shutil.which(name))), None)


def main() -> int:
    """Install Chromium where there is none and apt-get can."""
    if find():
        return 0
    apt = shutil.which("apt-get")
    if apt is None:
        print("no Chromium found: install one, or set CHROMIUM to its path", file=sys.stderr)
        return 1
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*sudo, apt, "update", "-qq"], check=True, env=environment)
    for package in PACKAGES:
        install = [*sudo, apt, "install", "-y", "-qq", "--no-install-recommends", package]
        if subprocess.run(install, env=environment).returncode == 0:  # not every release has the first
            break
    return 0 if find() else 1


if __name__ == "__main__":
    sys.exit(main())
