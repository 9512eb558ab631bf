"""A batch through QRMI, IBM's second client (Rust, from PyPI): run by `other_clients.py` in an environment that has it.

It reads a JSON object from its standard input: the resource, the inputs and how often each is submitted. What it found
goes to its standard output. QRMI takes the address, the key and the instance from the environment.
"""

from __future__ import annotations

import json
import sys
import time

from qrmi import Payload, QuantumResource, ResourceType, TaskStatus


def main() -> None:
    asked = json.load(sys.stdin)
    found: dict[str, object] = {}
    resource = QuantumResource(asked["resource"], getattr(ResourceType, asked["type"]))
    found["status"] = str(resource.status().status)
    found["target"] = sorted(json.loads(resource.target().value))
    found["workload"] = resource.acquire()
    tasks = [
        resource.task_start(Payload.QiskitPrimitive(input=json.dumps(params), program_id="sampler"))
        for params in asked["inputs"]
    ]
    for task in tasks:
        until = time.monotonic() + 120
        while resource.task_status(task) in (TaskStatus.Queued, TaskStatus.Running) and time.monotonic() < until:
            time.sleep(0.2)  # QRMI has nothing to wait on
    found["states"] = [str(resource.task_status(task)) for task in tasks]
    found["results"] = [json.loads(resource.task_result(task).value) for task in tasks]
    found["logs"] = [resource.task_logs(task) for task in tasks]
    for task in tasks:
        resource.task_stop(task)
    resource.release(found["workload"])
    found["tasks"] = tasks
    json.dump(found, sys.stdout)


main()
