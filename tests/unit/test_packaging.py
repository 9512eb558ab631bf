"""What says the same thing in two places says it twice: versions, Pythons, requirements."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

import qmode_widgets

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / ".ci" / "conda" / "recipe.yaml").read_text())
WORKFLOWS: dict[str, Any] = {f.stem: yaml.safe_load(f.read_text()) for f in (ROOT / ".github/workflows").glob("*.yml")}
CLASSIFIED = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def test_the_extension_and_the_recipe_have_the_packages_version() -> None:
    package, lock = (json.loads((ROOT / "js" / name).read_text()) for name in ("package.json", "package-lock.json"))
    versions = [package["version"], lock["version"], lock["packages"][""]["version"], RECIPE["context"]["version"]]
    assert versions == [qmode_widgets.__version__] * 4


def test_the_recipe_requires_what_the_package_requires() -> None:
    def names(requirements: list[str]) -> set[tuple[str, str]]:
        split = [re.fullmatch(r"([\w-]+) *(>=\S+)", one) for one in requirements]
        return {(m[1].lower().replace("_", "-"), m[2]) for m in split if m is not None}

    run = [one for one in RECIPE["requirements"]["run"] if not one.startswith("python ")]
    assert len(names(run)) == len(run)
    assert names(run) == names(PROJECT["dependencies"])
    assert RECIPE["tests"][1]["requirements"]["run"] == ["jupyterlab >=4.6,<5"]
    assert PROJECT["optional-dependencies"]["lab"] == ["jupyterlab>=4.6,<5"]


def test_the_same_pythons_are_required_classified_tested_and_named() -> None:
    assert PROJECT["requires-python"] == f">={CLASSIFIED[0]}"
    assert RECIPE["context"]["python_min"] == CLASSIFIED[0]
    jobs = WORKFLOWS["ci"]["jobs"]
    first = next(s["with"]["python-version"] for s in jobs["test"]["steps"] if "python-version" in s.get("with", {}))
    assert [first, *jobs["python"]["strategy"]["matrix"]["python"]] == CLASSIFIED
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| Python "))
    assert sorted(set(re.findall(r"3\.\d+", row))) == CLASSIFIED


def test_each_proof_of_the_makefile_runs_in_a_workflow() -> None:
    there = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    weekly = WORKFLOWS["weekly"]["jobs"]["proof"]["strategy"]["matrix"]["target"]
    runs = [step["run"] for job in WORKFLOWS["ci"]["jobs"].values() for step in job["steps"] if "run" in step]
    assert set(weekly) <= there
    pythons = {"test-pythons"}  # CI has a job for each
    proofs = {name for name in there if name.startswith("test-")} - pythons
    assert len(proofs) >= 4
    assert proofs <= {*weekly, *" ".join(runs).split()}
