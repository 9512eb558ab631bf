"""`make test-client`: the tests that IBM ships with its client, as they are, against the embedded service.

They come from the source archive of the installed version of qiskit-ibm-runtime on PyPI, into a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import qiskit_ibm_runtime

import qmode_widgets as qmode

NAME = "qiskit-ibm-runtime"
# What the embedded service cannot or does not give, and why.
LEFT_OUT = {
    "integration/test_account.py::TestQuantumPlatform::test_initializing_service_no_instance": "a plan 'internal'",
    "integration/test_account.py::TestQuantumPlatform::test_account_plans_preference": "a plan 'internal'",
    "integration/test_account.py::TestQuantumPlatform::test_passing_name_as_instance": "asks the host iam.<url>",
    "integration/test_account.py::TestQuantumPlatform::test_account_preferences_tags": "asks the host iam.<url>",
    "integration/test_account.py::TestQuantumPlatform::test_jobs_before_backend": "jobs in the Open instance",
    "integration/test_session.py::TestIntegrationSession::test_session_instance_logic": "a session on the Open Plan",
    "integration/test_proxies.py": "blocks loopback, where the embedded service is",
}
OLD = ("The EstimatorV2 class", "The SamplerV2 class", "The NoiseLearner class")  # as IBM's own workflow ignores them
OLDER = "fractional_gates_error or TestIntegrationNoiseLearner or (TestSmokePrimitives and noise_learner and not v3)"


def fetch(folder: Path) -> None:
    """Unpack IBM's tests, and how they are set up, into the folder."""
    wanted = f"{NAME}=={qiskit_ibm_runtime.__version__}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", NAME]
    subprocess.run([*pip, "--dest", str(folder), wanted], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        for member in archive.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name.startswith("test/") or member.name == "pyproject.toml":
                archive.extract(member, folder, filter="data")


def run(folder: Path, chosen: str, *, speed: float = float("inf"), qpu: str = "emu_fez") -> int:
    """Run those that pytest's `-k` chooses, against a service of the given speed."""
    with qmode.emulator.start(shared=False, speed=speed, backends="test_eagle_kyiv,emu_fez") as emulator:
        options = ["-q", "-rfE", "-p", "no:cacheprovider", "--timeout=300"]
        options += [f"--deselect=test/{name}" for name in LEFT_OUT]
        options += [f"-Wignore:{old} is deprecated:DeprecationWarning" for old in OLD]
        environment = {**os.environ, **emulator.environment, "QISKIT_IBM_QPU": qpu}
        command = [sys.executable, "-m", "pytest", *options, "-k", chosen, "test/integration", "test/smoke"]
        return subprocess.run(command, cwd=folder, env=environment).returncode


def main() -> int:
    """Those that wait for a timeout need jobs that take their time, some an older QPU with `ecr` on 0–1 and 1–2."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        fetch(folder)
        codes = [
            run(folder, f"not timeout and not ({OLDER})"),
            run(folder, "timeout", speed=2.0),
            run(folder, OLDER, qpu="test_eagle_kyiv"),
        ]
    for name, why in LEFT_OUT.items():
        print(f"left out: {name}: {why}")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
