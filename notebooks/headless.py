"""Run a notebook without a screen and print what its cells print: `python notebooks/headless.py NOTEBOOK`.

With `--save` the outputs are kept in the notebook, as they are read on the web: figures as pictures, no warnings.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def main(path: Path, *, save: bool = False) -> int:
    """Execute, print each cell's text, and fail with the notebook's own traceback."""
    if save:  # before the kernel starts, which inherits it
        os.environ["PLOTLY_RENDERER"] = "png"
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],  # else ipykernel warns of its TCP ports, which are on loopback
    )
    error: CellExecutionError | None = None
    try:
        client.execute()
    except CellExecutionError as failed:
        error = failed
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/plain")
            if text:
                print(text.rstrip())
    if error is not None:
        print(error, file=sys.stderr)
    elif save:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        nbformat.write(notebook, path)
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1]), save="--save" in sys.argv[1:-1]))
