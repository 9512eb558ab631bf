"""Many random commands under seeded faults: whatever happens, the service's own story stays consistent."""

from __future__ import annotations

import random
from datetime import datetime
from itertools import pairwise

import pytest
import requests
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets.emulator import start

from .test_workloads import ask

FINAL = {"Completed", "Cancelled", "Failed"}


def tried(emulator, method, path, **kwargs):
    """A request as a careless client makes it: faults are shrugged off."""
    try:
        answer = ask(emulator, method, path, **kwargs)
        return answer.json() if answer.ok and answer.content else None
    except requests.RequestException:
        return None


@pytest.mark.parametrize("seed", [1])
def test_soak(bell, seed):
    options = {"interactive_ttl": 0.2, "max_ttl": 4.0, "empty_close": 2.0, "queue_wait": 0.05, "lanes": 3}
    busy = {"other_users": 0.3, "calibration_every": 0.7, "calibration_seconds": 0.05, "jitter": 0.3}
    with start(shared=False, workers=1, speed=200.0, seed=seed, **options, **busy) as emulator:
        job = Sampler(mode=emulator.service.backend("emu_fez")).run([bell], shots=10)
        emulator.faults.wait_for(job.job_id(), "Completed")
        body = {
            "program_id": "executor",
            "backend": "emu_fez",
            "params": ask(emulator, "GET", f"/jobs/{job.job_id()}").json()["params"],
        }
        emulator.faults.soak(0.15)
        choose = random.Random(seed)
        sessions, jobs = [], []
        for _ in range(250):
            act = choose.random()
            if act < 0.08:
                asked = {"mode": choose.choice(["batch", "dedicated"]), "backend": "emu_fez"}
                if made := tried(emulator, "POST", "/sessions", json=asked):
                    sessions.append(made["id"])
            elif act < 0.6:
                into = {"session_id": choose.choice(sessions)} if sessions and choose.random() < 0.8 else {}
                cost = {"cost": 1} if choose.random() < 0.1 else {}
                if made := tried(emulator, "POST", "/jobs", json=body | into | cost):
                    jobs.append(made["id"])
            elif act < 0.7 and jobs:
                tried(emulator, "POST", f"/jobs/{choose.choice(jobs)}/cancel")
            elif act < 0.74 and sessions:
                tried(emulator, "PATCH", f"/sessions/{choose.choice(sessions)}", json={"accepting_jobs": False})
            elif act < 0.77 and sessions:
                tried(emulator, "DELETE", f"/sessions/{choose.choice(sessions)}/close")
            else:
                tried(emulator, "GET", choose.choice(["/jobs?pending=true", "/workloads", "/instances/usage"]))
        emulator.faults.clear()
        listed, offset = [], 0
        while page := ask(emulator, "GET", f"/jobs?limit=200&offset={offset}").json()["jobs"]:
            listed, offset = listed + page, offset + len(page)
        for entry in listed:
            emulator.faults.wait_for(entry["id"], *FINAL, timeout=60)
        assert set(jobs) <= {entry["id"] for entry in listed}
        by_session: dict[str, float] = {}
        for entry in listed:
            shown = ask(emulator, "GET", f"/jobs/{entry['id']}").json()
            metrics = ask(emulator, "GET", f"/jobs/{entry['id']}/metrics").json()
            times = [t for t in metrics["timestamps"].values() if t]
            assert times == sorted(times)
            assert metrics["usage"]["status"] == "complete"
            assert shown["state"]["status"] == shown["status"].removesuffix(" - Ran too long")
            assert shown["status"] != "Failed" or shown["state"]["reason_code"]
            assert shown["status"] != "Completed" or set(shown["state"]) == {"status"}
            if session := shown.get("session_id"):
                by_session[session] = by_session.get(session, 0) + metrics["usage"]["qpu_charge_time_seconds"]
        workloads = []
        for session in {*sessions, *by_session}:
            emulator.faults.wait_for(session, "closed", timeout=60)
            shown = ask(emulator, "GET", f"/sessions/{session}").json()
            workloads.append(shown)
            states = [entry["status"] for entry in shown["timestamps"]]
            moments = [entry["timestamp"] for entry in shown["timestamps"]]
            assert moments == sorted(moments)
            assert (states[0], states[-1], states.count("closed")) == ("open", "closed", 1)
            assert not shown["accepting_jobs"]
            if shown["mode"] == "batch" and shown["started_at"]:
                assert shown["elapsed_time"] == pytest.approx(by_session.get(session, 0), abs=3)
        active = sorted(
            (datetime.fromisoformat(a["timestamp"]), datetime.fromisoformat(b["timestamp"]))
            for shown in workloads
            if shown["mode"] == "dedicated"
            for a, b in pairwise(shown["timestamps"])
            if a["status"] == "active"
        )
        assert len(active) > 1
        times = [t for stretch in active for t in stretch]
        assert times == sorted(times)
        assert "Traceback" not in emulator.log
        assert emulator.admin.get("ping")["busy"] is False
