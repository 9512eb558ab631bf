"""Pages that show our widget without any extension of ours: as VS Code's notebook does, and as saved HTML does.

Their parts come from npm by name, as they are published: VS Code's own ipywidgets bundle, html-manager (nbviewer,
nbconvert, Colab) and require.js. The pages stand under the notebook server's address, which knows nothing of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from playwright.sync_api import Page, Route

from tests.browser.lab import ROOT, Lab

JS = ROOT / "js"
PARTS = {  # name, version: its sha512, and the file that is needed
    ("@vscode/jupyter-ipywidgets8", "1.0.9"): (
        "bocCThfa4JDIDd7qCFAfW3HpzHfTLYxOTpTbiDfw4DXOUjKHnr6ObkMBiIkuzYPRybh5bY4FhYLemuDuTvIbpQ==",
        "dist/ipywidgets.js",
    ),
    ("@jupyter-widgets/html-manager", "1.0.15"): (
        "5thBIV6ymNgmPVOHvzx+gGy8ZSKmSazhtGw4/c4xJDVzRhG9PTeQsRjF3FUTopvFi//SABeNz1yp47bCrJ3CQA==",
        "dist/embed-amd.js",
    ),
    ("requirejs", "2.3.8"): (
        "7/cTSLOdYkNBNJcDMWf+luFvMriVm7eYxp4BcFCsAX0wF421Vyce5SXP17c+Jd5otXKGNehIonFlyQXSowL6Mw==",
        "require.js",
    ),
}
VSCODE = """<!doctype html><html><meta charset="utf-8"><title>VS Code</title>
<style>body { background: #1e1e1e; color: #ccc; }
/* What VS Code's pages say of widgets. */
.cell-output-ipywidget-background { background: white !important; }</style>
<body data-vscode-theme-kind="vscode-dark"><div id="cells"></div><div id="hidden" hidden></div>
<script src="/host/require.js"></script>
<script type="module">import { activate } from '/host/ipywidgets.js'; activate({}); window.loaded = true;</script>
<script src="/host/host.js"></script></body></html>"""
SAVED = """<!doctype html><html><meta charset="utf-8"><title>Saved</title><body>
<script src="/host/require.js"></script><script src="/host/embed-amd.js"></script>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
<script type="application/vnd.jupyter.widget-view+json">{view}</script></body></html>"""


def parts() -> dict[str, bytes]:
    """The published files by name, and our script that plays VS Code's side of its bundle."""
    npm, node = (shutil.which(name) or str(Path(sys.executable).with_name(name)) for name in ("npm", "node"))
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="qmode-hosts-") as folder:
        names = [f"{name}@{version}" for name, version in PARTS]
        packed = subprocess.run([npm, "pack", "--json", *names], cwd=folder, check=True, capture_output=True, text=True)
        for pack in json.loads(packed.stdout):
            sha, file = PARTS[pack["name"], pack["version"]]
            content = (Path(folder) / pack["filename"]).read_bytes()
            assert base64.b64encode(hashlib.sha512(content).digest()).decode() == sha, f"{pack['name']} has changed"
            with tarfile.open(Path(folder) / pack["filename"]) as archive:
                member = archive.extractfile(f"package/{file}")
                assert member is not None
                found[Path(file).name] = member.read()
        script = Path(folder) / "host.js"
        subprocess.run([node, "test/gallery.mjs", str(script), "test/host.ts"], check=True, cwd=JS)
        found["host.js"] = script.read_bytes()
    return found


def serve(page: Page, lab: Lab, files: dict[str, bytes]) -> None:
    """Answer what the pages load: their parts, and anywidget's module, which a page on the web takes from a CDN."""
    anywidget = (Path(sys.prefix) / "share/jupyter/nbextensions/anywidget/index.js").read_bytes()

    def answer(route: Route) -> None:
        name = route.request.url.partition("?")[0].rpartition("/")[2]
        route.fulfill(body=files[name], content_type="text/javascript; charset=utf-8")

    page.route(f"{lab.url}/host/**", answer)
    page.route("**/anywidget*/**/index.js", lambda route: route.fulfill(body=anywidget, content_type="text/javascript"))
    # A page of the server's own: one that a test makes up may not open connections to this machine.
    page.goto(f"{lab.url}/login")


def vscode(page: Page, lab: Lab, files: dict[str, bytes]) -> None:
    """Open the page that hosts VS Code's bundle, with a kernel."""
    serve(page, lab, files)
    page.set_content(VSCODE)
    page.wait_for_function("() => window.loaded && window.host")
    page.evaluate("token => host.begin(token)", lab.token)


def saved(page: Page, lab: Lab, files: dict[str, bytes], state: object, model: str) -> None:
    """Open a page that was saved with its widgets: no kernel is anywhere."""
    view = json.dumps({"version_major": 2, "version_minor": 0, "model_id": model})
    text = json.dumps(state).replace("</", "<\\/")
    serve(page, lab, files)
    page.set_content(SAVED.format(state=text, view=view))
