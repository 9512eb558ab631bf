"""`qmode_widgets.check(service)` and `python -m qmode_widgets.check`: what to run before anything costs money.

It looks at this environment, the way to the service, the account and every endpoint that this package relies on, with
GET requests only: it submits nothing, changes nothing, and costs nothing. The page it makes holds no id, name, CRN or
token and can be pasted into an issue.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

    from .ibm.check import Redactor, Report, Row

EXTENSION = "qmode-widgets"  # the JupyterLab extension's name
SHOWN = ("qiskit", "anywidget", "ipykernel", "jupyterlab")  # packages whose versions are told even when all is well


def check(service: QiskitRuntimeService | None = None, *, rehearse: bool = False) -> Report:
    """Check whether this package will work here, and with this account.

    Takes some seconds: about ten GET requests, one after another. Nothing is submitted, changed or billed.

    Args:
        service: the account's service; the saved default account if left out. Its active instance is looked at.
        rehearse: run a whole batch on a private embedded service too, and check its answers. Without a service only
            this is done, and no account is needed.

    Returns:
        A report. Printed, it is a page for an issue; `report.rows` has what was found, `report.ok` whether all works.
    """
    from .ibm import check as account

    hide = account.Redactor()
    rows: list[Row] = [*_python(), *account.of_client(), *_jupyter()]
    if service is not None or not rehearse:
        rows += _account(service, hide)
    if rehearse:
        rows += _rehearsal(hide)
    return account.report(rows)


def _account(service: QiskitRuntimeService | None, hide: Redactor) -> Iterator[Row]:
    from .control.attach import find_service
    from .errors import QmodeError
    from .ibm.check import Row, of_service

    consequence = "There is no account to work with."
    try:
        found = find_service() if service is None else service
    except Exception as error:  # noqa: BLE001 - in the words of IBM's client
        remedy = "Save an account with QiskitRuntimeService.save_account(…), or pass a service."
        said = hide(error) if isinstance(error, QmodeError) else f"{type(error).__name__}: {hide(error)}"
        yield Row("Account", "service", "failed", said, remedy, consequence)
        return
    try:
        yield from of_service(found, hide)
    except Exception as error:  # noqa: BLE001 - a check that fails says so on the page
        remedy = "Report this page as an issue: the check itself failed."
        yield Row("Account", "check", "failed", f"{type(error).__name__}: {hide(error)}", remedy, consequence)


# --- this environment -----------------------------------------------------------------------------------------------


def _python() -> Iterator[Row]:
    from packaging.requirements import Requirement

    from . import __version__
    from .ibm.check import Row, requirements

    section = "This environment"
    yield Row(section, "qmode_widgets", "ok", f"{__version__}, Python {platform.python_version()}, {sys.platform}")
    shown = []
    lines = requirements()
    if lines is None:
        yield Row(section, "packages", "not checked", "qmode_widgets is not installed, so what it needs is not known")
        return
    for line in lines:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": "lab"}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            if wanted.name == "jupyterlab":
                continue  # it may run in another environment: see the extension
            version = "none"
        if version == "none" or not wanted.specifier.contains(version, prereleases=True):
            said = f"{version} is installed, {wanted.specifier} is needed"
            remedy = f"pip install '{wanted.name}{wanted.specifier}'"
            yield Row(section, wanted.name, "failed", said, remedy, f"What needs {wanted.name} fails or behaves oddly.")
        elif wanted.name in SHOWN:
            shown.append(f"{wanted.name} {version}")
    yield Row(section, "packages", "ok", ", ".join(shown))


def _jupyter() -> Iterator[Row]:
    from .ibm.check import Row

    yield from _extension()
    section, name = "JupyterLab", "kernel"
    from .frontend.hub import hub
    from .frontend.kernel import running_kernel

    kernel = running_kernel()
    if kernel is None:
        said = "this is no notebook: run qmode_widgets.check() in a cell to see how a page reaches its kernel"
        yield Row(section, name, "not checked", said)
        return
    hub.connect(check)
    if (problem := hub.problem) is not None:
        remedy = "pip install 'ipykernel>=6.31', then restart the kernel."
        yield Row(section, name, "failed", problem, remedy, "The sidebar cannot cancel or resubmit while a cell runs.")
    elif hub.followed:
        yield Row(section, name, "ok", "a page with the extension follows it, on the control channel")
    else:
        remedy = "In JupyterLab: reload the page; if this stays, see the row above. Other notebooks have no sidebar."
        consequence = "The sidebar does not show what runs in this kernel. Widgets in cells work."
        yield Row(section, name, "warning", "no page with the extension has asked yet", remedy, consequence)


def _extension() -> Iterator[Row]:
    from jupyter_core.paths import jupyter_config_path, jupyter_path

    from . import __version__
    from .ibm.check import Row

    section, name = "JupyterLab", "extension"
    consequence = "JupyterLab has no sidebar of this package. Widgets in cells work."
    places = [Path(folder) / EXTENSION / "package.json" for folder in jupyter_path("labextensions")]
    place = next((p for p in places if p.is_file()), None)
    if place is None:
        said = "not found in this environment"
        remedy = "pip install qmode-widgets where JupyterLab runs, which may be another environment; reload the page."
        yield Row(section, name, "warning", said, remedy, consequence)
        return
    version = _read(place).get("version")
    if any(_disabled(_read(Path(folder) / "labconfig" / "page_config.json")) for folder in jupyter_config_path()):
        yield Row(section, name, "failed", "disabled", f"jupyter labextension enable {EXTENSION}", consequence)
    elif version != __version__:
        said = f"its version is {version}, this kernel's {__version__}"
        remedy = "Install the same version for JupyterLab and for the kernel, then reload the page."
        yield Row(section, name, "failed", said, remedy, "Page and kernel may not understand each other.")
    else:
        yield Row(section, name, "ok", f"{version}, enabled")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _disabled(config: dict[str, Any]) -> bool:
    listed = config.get("disabledExtensions") or {}
    names = [name for name, off in listed.items() if off] if isinstance(listed, dict) else listed
    return any(str(name).partition(":")[0] == EXTENSION for name in names)


# --- the rehearsal --------------------------------------------------------------------------------------------------


def _rehearsal(hide: Redactor) -> Iterator[Row]:
    """A whole batch on a private embedded service, then the same questions as to an account."""
    from dataclasses import replace

    from .ibm.check import Row, of_service

    section = "Rehearsal on the embedded service"
    try:
        from . import emulator

        with emulator.start(shared=False, speed=float("inf"), workers=1) as service:
            for step, found in _batch(service.service):
                yield Row(section, step, "ok", found)
            for row in of_service(service.service, hide):
                yield replace(row, section=section)
    except Exception as error:  # noqa: BLE001 - whatever stops the rehearsal is what it is for
        said = f"{type(error).__name__}: {hide(error)}"
        remedy = "Report this page as an issue: no account is involved."
        yield Row(
            section, "a whole batch", "failed", said, remedy, "A batch does not run from its opening to its results."
        )


def _batch(service: QiskitRuntimeService) -> Iterator[tuple[str, str]]:
    """The steps of a batch of two jobs, each with what it gave."""
    from qiskit import QuantumCircuit
    from qiskit.transpiler import generate_preset_pass_manager
    from qiskit_ibm_runtime.executor_sampler import Sampler

    from . import BatchController

    backend = service.backends(operational=True)[0]
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    isa = generate_preset_pass_manager(backend=backend, optimization_level=1).run(bell)
    batch = BatchController.open(backend)
    try:
        yield "open a batch", "opened"
        run = batch.submit(Sampler(mode=batch.primitive_mode), [(isa, None, 100)] * 2, partitions=2)
        ended = run.wait(timeout=120)
        yield "submit two jobs", "both ended" if ended else "not ended after 120 s"
        counts = [dict(entry.data.meas.get_counts()) for entry in run.result()]
        yield "results", f"{len(counts)} PUBs, {sum(counts[0].values())} shots each"
        batch.close()
        yield "close", f"closed, {batch.usage.reported or 0:.0f} s of usage reported"
    finally:
        batch.cancel_all()
        batch.forget()


# --- the command line -------------------------------------------------------------------------------------------------


class _Module(ModuleType):
    """This module can be called: `qmode_widgets.check` is the function or, where it was imported, the module."""

    def __call__(self, service: QiskitRuntimeService | None = None, *, rehearse: bool = False) -> Report:
        return check(service, rehearse=rehearse)


sys.modules[__name__].__class__ = _Module


def main() -> int:
    """Parse the command line, print the page; exit code 1 where something failed."""
    parser = argparse.ArgumentParser(
        prog="python -m qmode_widgets.check",
        description="Check whether qmode_widgets will work here and with your account. Read-only: nothing is "
        "submitted, changed or billed. The page holds no id, name, CRN or token.",
    )
    parser.add_argument("--account", metavar="NAME", help="the saved account of this name; the default one if left out")
    parser.add_argument("--instance", metavar="NAME", help="this instance: its name or CRN")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="run a whole batch on the embedded service instead: no account is needed",
    )
    given = parser.parse_args()
    service = None
    if given.account is not None or given.instance is not None:
        from qiskit_ibm_runtime import QiskitRuntimeService

        try:
            service = QiskitRuntimeService(name=given.account, instance=given.instance)
        except Exception as error:  # noqa: BLE001 - in the client's own words
            from .ibm.check import Redactor

            print(f"{parser.prog}: {Redactor()(error)}", file=sys.stderr)  # noqa: T201 - a command line
            return 2
    found = check(service, rehearse=given.rehearse)
    print(found)  # noqa: T201 - a command line
    return 0 if found.ok else 1


if __name__ == "__main__":
    sys.exit(main())
