"""Another program on the same account, with an HTTP client of its own: qiskit-ibm-runtime has no part in it."""

from __future__ import annotations

import requests

QASM = 'OPENQASM 3.0; include "stdgates.inc"; bit[2] c; x $0; c[0] = measure $0; c[1] = measure $1;'


class Elsewhere:
    """What it opens and submits on the pay-as-you-go instance."""

    def __init__(self, emulator):
        self._url = emulator.environment["QISKIT_IBM_URL"]
        login = requests.post(f"{emulator.url}/identity/token", data={"apikey": emulator.token}, timeout=60).json()
        self._headers = {
            "Authorization": f"Bearer {login['access_token']}",
            "Service-CRN": emulator.environment["QISKIT_IBM_INSTANCE"],
        }

    def _post(self, path, body):
        answer = requests.post(self._url + path, json=body, headers=self._headers, timeout=60)
        answer.raise_for_status()
        return answer.json()["id"]

    def open(self, mode="batch"):
        """The id of a new session or batch."""
        return self._post("/sessions", {"mode": mode, "backend": "emu_fez"})

    def job(self, **more):
        """The id of a new job."""
        params = {"pubs": [[QASM, None, 100]], "version": 2, "support_qiskit": False}
        return self._post("/jobs", {"program_id": "sampler", "backend": "emu_fez", "params": params} | more)
