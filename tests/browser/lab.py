"""A real JupyterLab on loopback, isolated from the user's configuration, driven in a real Chromium.

The labextension under test is the installed one; where it is not installed, or `QMODE_LABEXTENSION` names a directory,
that build is linked in its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, sync_playwright

from tests.browser import chromium

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "artifacts"
EXTENSION = "qmode-widgets"
_NOTIFICATION = "@jupyterlab/apputils-extension:notification"
QUIET = {_NOTIFICATION: {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}}
LOUD = {_NOTIFICATION: {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": False}}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
_WAIT = 60_000
# Parts of JupyterLab in which nothing of ours stands, and that nothing else needs: without them a page costs a third
# less.
_JUPYTERLAB = (
    *("audio", "celltags", "csvviewer", "debugger", "extensionmanager", "fileeditor", "help", "htmlviewer", "hub"),
    *("imageviewer", "inspector", "javascript", "json", "logconsole", "markdownviewer", "mathjax", "mermaid"),
    *("pdf", "pluginmanager", "terminal", "tooltip", "vega5", "video", "workspaces"),
)
_SPARE = (
    *(f"@jupyterlab/{name}-extension" for name in _JUPYTERLAB),
    "@jupyterlab/notebook-extension:export",  # the server asks all exporters anew for each page's menu
    "@jupyter-notebook/terminal-extension",  # needs the terminal
)
_SPARE_INSTALLED = ("jupyterlab-plotly", "@jupyter-notebook")  # a page reads the former's 5 MB even if it is disabled


@dataclass
class Lab:
    """A running server."""

    url: str
    token: str
    root: Path  # its notebooks
    log: Path
    app: str = "jupyterlab"  # or "notebook"

    def get(self, path: str) -> Any:
        """JSON of the server's own REST API."""
        request = urllib.request.Request(f"{self.url}/{path}", headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def stop_kernels(self) -> None:
        """Shut all kernels down, as the server does: they hold ports and files."""
        for kernel in self.get("api/kernels"):
            request = urllib.request.Request(
                f"{self.url}/api/kernels/{kernel['id']}",
                method="DELETE",
                headers={"Authorization": f"token {self.token}"},
            )
            urllib.request.urlopen(request, timeout=60).close()


def labextension() -> Path | None:
    """The build to link, or None where the installed extension is to be used."""
    if named := os.environ.get("QMODE_LABEXTENSION"):
        return Path(named)
    if (Path(sys.prefix) / "share/jupyter/labextensions" / EXTENSION / "package.json").exists():
        return None
    built = ROOT / "qmode_widgets" / "labextension"
    if not (built / "package.json").exists():
        raise RuntimeError(f"{built} is missing: build the frontend with `python js/hatch_build.py`")
    return built


@contextlib.contextmanager
def lab(
    root: Path,
    *,
    settings: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    app: str = "jupyterlab",
    extension: bool = True,
    whole: bool = False,
) -> Iterator[Lab]:
    """Start JupyterLab (or `app="notebook"`) with `root` as its notebooks; `settings` by plugin id.

    Without `extension` ours is disabled, as where only the kernel has the package. A `whole` JupyterLab has all its
    parts; other tests do without those that they never look at.
    """
    home = Path(tempfile.mkdtemp(prefix="qmode-lab-"))
    (home / "data").mkdir()  # jupyter-collaboration's server keeps a database there
    installed = Path(sys.prefix) / "share/jupyter/labextensions"
    links = {each.name: each for each in installed.iterdir() if whole or each.name not in _SPARE_INSTALLED}
    if (build := labextension()) is not None:
        links[EXTENSION] = build
    (home / "labextensions").mkdir()
    for link, directory in links.items():
        (home / "labextensions" / link).symlink_to(directory.resolve(), target_is_directory=True)
    for plugin, values in {**QUIET, **(settings or {})}.items():
        package, name = plugin.split(":")
        file = home / "settings" / package / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    disabled = () if whole else _SPARE
    page_config = home / "config" / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True)
    names = disabled if extension else (*disabled, EXTENSION)
    page_config.write_text(json.dumps({"disabledExtensions": dict.fromkeys(names, True)}))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex(16)
    dirs = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [
        sys.executable,
        "-m",
        app,
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}",
        f"--LabServerApp.labextensions_path={home / 'labextensions'}",
        "--expose-app-in-browser",
    ]
    log = home / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **os.environ,
                **{k: str(home / v) for k, v in dirs.items()},
                "PYTHONPATH": path,
                "JUPYTER_PATH": "",
                **(env or {}),
            },
        )
        running = Lab(f"http://127.0.0.1:{port}", token, root, log, app)
        try:
            _await(running, server)
            yield running
        finally:
            with contextlib.suppress(OSError):
                running.stop_kernels()
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            _stop_service(home / "runtime" / "qmode-emulator.json")
            shutil.rmtree(home, ignore_errors=True)


def _await(running: Lab, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 180
    while time.monotonic() < ends and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            running.get("api/status")
            return
        time.sleep(0.1)  # a server that does not listen yet has nothing to await
    raise RuntimeError(f"JupyterLab did not start:\n{running.log.read_text()[-3000:]}")


def _stop_service(runtime: Path) -> None:
    """End the embedded service that a notebook started; it would outlive its server by an hour."""
    if runtime.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(runtime.read_text())["pid"], signal.SIGTERM)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as play:
        started = play.chromium.launch(
            executable_path=chromium.find(),
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"],
        )
        try:
            yield started
        finally:
            started.close()


def notebook(path: Path, cells: list[str]) -> Path:
    """Write a notebook of code cells."""
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    code = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for i, source in enumerate(cells)
    ]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": code}))
    return path


@dataclass
class Notebook:
    """A notebook open in a page."""

    lab: Lab
    page: Page
    name: str
    errors: list[str] = field(default_factory=list)  # of the page's console

    @classmethod
    def open(cls, running: Lab, page: Page, name: str, *, idle: bool = True) -> Notebook:
        """Open a notebook of the server's; waits for its kernel to be idle unless told otherwise."""
        self = cls(running, page, name)
        self._listen()
        place = "lab/tree" if running.app == "jupyterlab" else "notebooks"
        page.goto(f"{running.url}/{place}/{name}?token={running.token}&reset")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=_WAIT)
        if idle:
            self.wait_idle()
        return self

    @classmethod
    def beside(cls, running: Lab, page: Page, name: str) -> Notebook:
        """Open a notebook in a page of JupyterLab's that has shown others, which are put away, or in a new page."""
        if running.app != "jupyterlab" or page.evaluate("() => window.jupyterapp === undefined"):
            return cls.open(running, page, name)
        self = cls(running, page, name)
        self._listen()
        page.evaluate(
            """async path => {
                 const { commands, shell } = window.jupyterapp;
                 const others = [...shell.widgets('main')];
                 await commands.execute('docmanager:open', { path });
                 others.forEach(other => other.dispose());
                 shell.collapseRight();
                 await commands.execute('filebrowser:activate'); }""",
            name,
        )
        page.wait_for_function("path => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=name)
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=_WAIT)
        self.wait_idle()
        return self

    def close(self) -> None:
        """End the kernel and what is asked of the page; the next notebook takes the place of this one."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext?.shutdown()")
        self.page.emulate_media(forced_colors="none")
        self.theme("light")
        self.page.remove_listener("console", self._hear)
        self.page.remove_listener("pageerror", self._note)

    def _listen(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", self._note)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text[:400])

    def _note(self, error: Error) -> None:
        """Keep an error of the page. Notebook 7.6 raises one (`reading 'schema'`) without any extension, too."""
        if self.lab.app == "jupyterlab" or EXTENSION in (error.stack or ""):
            self.errors.append(str(error)[:400])

    def wait_idle(self) -> None:
        """Until the kernel is idle."""
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=_WAIT,
        )

    def run(self, cell: int, *, wait: bool = True, timeout: float = _WAIT) -> None:
        """Run a cell as the Run button does."""
        self.page.evaluate(
            """i => { const { content } = window.jupyterapp.shell.currentWidget;
                      content.activeCellIndex = i; content.deselectAll();
                      content.activeCell.model.executionCount = null;  // of an earlier run
                      void window.jupyterapp.commands.execute('notebook:run-cell'); }""",
            cell,
        )
        if wait:
            self.wait_done(cell, timeout=timeout)

    def wait_done(self, cell: int, *, timeout: float = _WAIT) -> None:
        """Until a started cell has ended."""
        self.page.wait_for_function(
            """i => { const m = window.jupyterapp.shell.currentWidget.content.widgets[i].model;
                      return m.executionState === 'idle' && m.executionCount !== null; }""",
            arg=cell,
            timeout=timeout,
        )

    def is_running(self, cell: int) -> bool:
        """Whether a cell is running now."""
        state = "i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.executionState"
        return bool(self.page.evaluate(state, cell) == "running")

    def output(self, cell: int) -> str:
        """The text a cell printed or raised."""
        texts: list[str] = self.page.evaluate(
            """i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.outputs
                    .map(o => [o.text, o.evalue, o.data?.['text/plain']].flat(2).filter(Boolean).join(''))""",
            cell,
        )
        return "\n".join(texts)

    def widget(self) -> Locator:
        """The live workloads in cells."""
        return self.page.locator(".jp-OutputArea .qm-card")

    def sidebar(self) -> Locator:
        """The panel, opened."""
        panel = self.page.locator("#qmode-workloads")
        if not panel.is_visible():
            self.page.evaluate("() => window.jupyterapp.commands.execute('qmode-widgets:show')")
            panel.wait_for(state="visible")
        return panel

    def theme(self, name: str) -> None:
        """`light` or `dark`."""
        if self.page.evaluate("document.body.dataset.jpThemeLight") == str(name == "light").lower():
            return
        change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
        self.page.evaluate(change, THEMES[name])
        is_light = "light => document.body.dataset.jpThemeLight === light"
        self.page.wait_for_function(is_light, arg=str(name == "light").lower())
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")  # it covers the page meanwhile

    def sidebar_width(self, pixels: int) -> None:
        """Drag the sidebar's edge, as a user does."""
        self.sidebar()
        handle = self.page.locator("#jp-main-split-panel > .lm-SplitPanel-handle:not(.lm-mod-hidden)").first
        box, bar = handle.bounding_box(), self.page.locator("#jp-left-stack").bounding_box()
        assert box is not None
        assert bar is not None
        self.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 200)
        self.page.mouse.down()
        self.page.mouse.move(bar["x"] + pixels, box["y"] + 200, steps=4)
        self.page.mouse.up()

    def reload(self) -> None:
        """Reload the page; the kernel goes on."""
        self.page.reload()
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=_WAIT)

    def save(self) -> None:
        """Save the notebook."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def restart(self) -> None:
        """Restart the kernel, without the dialog."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        self.wait_idle()

    def card_of(self, cell: int) -> Locator:
        """The workload that a cell shows."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea .qm-card")

    def picture(self, name: str) -> Path:
        """Where a picture is kept: under artifacts/."""
        ARTIFACTS.mkdir(exist_ok=True)
        return ARTIFACTS / f"{name}.png"

    def screenshot(self, name: str) -> Path:
        """Keep a picture of the page."""
        path = self.picture(name)
        self.page.screenshot(path=str(path))
        return path
