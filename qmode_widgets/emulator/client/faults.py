"""The client's side of the admin endpoint: faults, pauses, waiting for states."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, Literal

import requests

from ..service.account import proof

Subject = Literal["jobs", "metrics", "sessions", "workloads", "usage", "backends"]
_STATUS = {"jobs": ["status", "state.status"], "sessions": ["state"], "metrics": ["usage.status"]}


class AdminClient:
    """Speaks to the admin endpoint of one service."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self._token: str | None = None
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business between us and loopback

    def get(self, path: str, params: dict[str, Any] | None = None, *, timeout: float = 30) -> dict[str, Any]:
        """Send a GET."""
        return self._send("GET", path, timeout, params=params)

    def post(self, path: str, values: dict[str, Any] | None = None, *, timeout: float = 30) -> dict[str, Any]:
        """Send a POST."""
        return self._send("POST", path, timeout, json=values or {})

    def delete(self, path: str) -> dict[str, Any]:
        """Send a DELETE."""
        return self._send("DELETE", path, 30)

    def prove(self, timeout: float = 5) -> dict[str, Any]:
        """Let the server prove that it knows our key, without telling it the key.

        Returns:
            Its process id and version, whether it could run a job at once (`ready`), and whether the files that it
            runs from are still there (`whole`).

        Raises:
            PermissionError: another program answers at this address.
            requests.RequestException: nothing answers.
        """
        nonce = secrets.token_hex(16)
        answer = self._session.get(f"{self._url}/admin/proof", params={"nonce": nonce}, timeout=timeout)
        try:
            said = answer.json()
            good = answer.ok and secrets.compare_digest(str(said["proof"]), proof(self._key, self._url, nonce))
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            raise PermissionError(f"what answers at {self._url} is not the emulator that was started there")
        return dict(said)

    def _send(self, method: str, path: str, timeout: float, **kwargs: Any) -> dict[str, Any]:
        for attempt in (0, 1):
            if self._token is None:
                self._token = self._login(timeout)
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = self._session.request(
                method, f"{self._url}/admin/{path}", headers=headers, timeout=timeout, **kwargs
            )
            if answer.status_code == 401 and attempt == 0:
                self._token = None  # tokens can be made to expire
                continue
            break
        if answer.status_code == 400:
            raise ValueError(answer.json()["errors"][0]["message"])
        if answer.status_code == 408:
            raise TimeoutError(answer.json()["errors"][0]["message"])
        answer.raise_for_status()
        return dict(answer.json()) if answer.content else {}

    def _login(self, timeout: float) -> str:
        self.prove(timeout)
        answer = self._session.post(f"{self._url}/admin/token", data={"apikey": self._key}, timeout=timeout)
        answer.raise_for_status()
        return str(answer.json()["access_token"])


class Faults:
    """What is to go wrong, and when the QPUs stand still.

    Faults of requests are for the next `count` requests with `method` whose path matches `path`, a regular expression
    for the path below the API's base such as `/jobs/.*`, after `skip` of them. `path="/identity/token"` names the
    token endpoint, which `.*` does not match.
    """

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    def fail_jobs(
        self,
        count: int = 1,
        *,
        code: int = 9707,
        reason: str = "A transient error occurred on the QPU.",
        solution: str = "Submit the job again.",
        system: bool = False,
        tag: str | None = None,
        skip: int = 0,
    ) -> None:
        """Let the next `count` submitted jobs fail when the QPU is done with them.

        Args:
            count: how many.
            code: the reason's code.
            reason: the reason's text.
            solution: what to do about it.
            system: a system error is billed nothing; a user's error what the job consumed.
            tag: only jobs that carry this tag.
            skip: this many jobs pass first.
        """
        values = {"code": code, "reason": reason, "solution": solution, "system": system, "tag": tag, "skip": skip}
        self._admin.post("faults", {"kind": "job", "count": count, **values})

    def fail_requests(
        self,
        status: int = 503,
        *,
        method: str | None = None,
        path: str = ".*",
        when: Literal["before", "after"] = "before",
        count: int = 1,
        skip: int = 0,
        retry_after: float | None = None,
        delay: float = 0.0,
    ) -> None:
        """Answer requests with an error status, before or after they are carried out."""
        self._add("status", method, path, count, skip, when=when, status=status, retry_after=retry_after, delay=delay)

    def drop(
        self,
        *,
        method: str | None = None,
        path: str = ".*",
        when: Literal["before", "after"] = "before",
        count: int = 1,
        skip: int = 0,
    ) -> None:
        """Give requests no answer: the connection closes."""
        self._add("drop", method, path, count, skip, when=when)

    def truncate(self, *, method: str | None = None, path: str = ".*", count: int = 1, skip: int = 0) -> None:
        """Break the answers off in the middle of their body."""
        self._add("truncate", method, path, count, skip, when="after")

    def delay(
        self, seconds: float, *, method: str | None = None, path: str = ".*", count: int = 1, skip: int = 0
    ) -> None:
        """Carry requests out and answer them `seconds` later."""
        self._add("delay", method, path, count, skip, delay=seconds)

    def hang(
        self,
        seconds: float = 600.0,
        *,
        method: str | None = None,
        path: str = ".*",
        when: Literal["before", "after"] = "before",
        count: int = 1,
        skip: int = 0,
    ) -> None:
        """Keep the connection open without an answer for `seconds`, then close it."""
        self._add("hang", method, path, count, skip, when=when, seconds=seconds)

    def trickle(
        self, seconds: float, *, method: str | None = None, path: str = ".*", count: int = 1, skip: int = 0
    ) -> None:
        """Send the bodies of the answers a byte every `seconds`."""
        self._add("trickle", method, path, count, skip, when="after", seconds=seconds)

    def html(
        self,
        status: int = 502,
        *,
        method: str | None = None,
        path: str = ".*",
        when: Literal["before", "after"] = "before",
        count: int = 1,
        skip: int = 0,
    ) -> None:
        """Answer requests with an HTML page, as a gateway does; also with status 200."""
        self._add("html", method, path, count, skip, when=when, status=status)

    def rewrite(
        self,
        replace: dict[str, Any] | None = None,
        *,
        remove: Iterable[str] = (),
        method: str | None = None,
        path: str = ".*",
        count: int = 1,
        skip: int = 0,
    ) -> None:
        """Change the JSON of the answers: wrong types, missing fields, impossible values.

        Args:
            replace: the new value at each path into the JSON. Steps are separated by dots, `*` stands for every
                element of a list: `{"jobs": None}`, `{"jobs.*.usage.qpu_charge_time_seconds": -5}`.
            remove: paths that are removed, as `["jobs.*.program"]`.
            method: as in the class's docstring; so are `path`, `count` and `skip`.
            path: see there.
            count: see there.
            skip: see there.
        """
        self._add("rewrite", method, path, count, skip, when="after", replace=replace or {}, remove=list(remove))

    def _add(self, action: str, method: str | None, path: str, count: int, skip: int, **more: Any) -> None:
        values = {"action": action, "method": method, "path": path, "count": count, "skip": skip, **more}
        self._admin.post("faults", {"kind": "request", **values})

    def say(self, words: dict[str, Any], *, of: Subject, fields: Iterable[str] = ()) -> None:
        """Let answers use other words, until `clear`: those that a service may send and this one never does.

        Args:
            words: the new word (or None) for each one that would be said: `{"Completed": "Expired"}`,
                `{"closed": "canceled"}`, `{"Cancelled": "Cancelled - Ran too long"}`.
            of: what the answers are about: "jobs", "metrics", "sessions", "workloads", "usage" or "backends".
            fields: the fields that hold the words; by default those that hold the status or state.
        """
        self._alter(of, list(fields) or _STATUS.get(of, ["status"]), words=words)

    def change(self, values: dict[str, Any], *, of: Subject) -> None:
        """Let fields of answers have another value, until `clear`: `change({"backend_name": None}, of="sessions")`."""
        for name, value in values.items():
            self._alter(of, [name], value=value)

    def leave_out(self, *fields: str, of: Subject) -> None:
        """Leave fields out of answers, until `clear`: `leave_out("state.reason_code", "backend", of="jobs")`."""
        self._alter(of, list(fields), leave_out=True)

    def _alter(self, of: str, fields: list[str], **more: Any) -> None:
        self._admin.post("faults", {"kind": "answer", "of": of, "fields": fields, **more})

    def lag_listings(self, seconds: float) -> None:
        """Let listings show jobs and workloads only `seconds` after they were created; 0 ends it."""
        self._admin.post("faults", {"listing_lag": seconds})

    def soak(self, probability: float) -> None:
        """Let each request and each job go wrong with this probability (seeded by the option `seed`); 0 ends it."""
        self._admin.post("faults", {"soak": probability})

    def skew_clock(self, seconds: float) -> None:
        """Show the service's clock `seconds` ahead; 0 ends it."""
        self._admin.post("faults", {"skew": seconds})

    def advance_clock(self, seconds: float) -> None:
        """Let `seconds` pass at once, as soon as no simulation runs: TTLs run out, jobs go on.

        The clock is never set back, `clear` included: use a service of your own.
        """
        self._admin.post("faults", {"advance": seconds}, timeout=120)

    def use_up(self, instance: str, seconds: float) -> None:
        """Let an instance ("emulator-open", …) have used `seconds` more than its jobs have; 0 ends it."""
        self._admin.post("faults", {"instance": instance, "used": seconds})

    def expire_token(self) -> None:
        """Make every access token issued so far invalid."""
        self._admin.post("faults", {"expire": True})

    def pause(self, *, queue: bool = False) -> None:
        """Start no job on the QPUs; with `queue`, let none leave the queue either, so that all stay Queued."""
        self._admin.post("faults", {"pause": "queue" if queue else "qpu"})

    def resume(self) -> None:
        """End a pause."""
        self._admin.post("faults", {"resume": True})

    def clear(self) -> None:
        """End all faults, other words, lag, skew, extra usage and pauses."""
        self._admin.post("faults", {"clear": True})

    def pending(self) -> dict[str, Any]:
        """Return the faults that are still to come."""
        return self._admin.get("faults")

    def wait_for(self, id: str, *states: str, timeout: int = 30) -> str:
        """Wait until a job ("Queued", "Running", "Completed", …) or workload ("active", …) is in one of the states.

        Returns:
            The state it is in.

        Raises:
            TimeoutError: it is in none of them after `timeout` seconds.
        """
        answer = self._admin.get(f"wait/{id}", {"state": list(states), "timeout": timeout}, timeout=timeout + 10)
        return str(answer["state"])

    def requests(self) -> list[tuple[str, str, int]]:
        """Return the API requests answered so far: method, path, status. `forget_requests` forgets them."""
        return [(str(m), str(p), int(s)) for m, p, s in self._admin.get("requests")["requests"]]

    def forget_requests(self) -> None:
        """Begin a new record of requests."""
        self._admin.delete("requests")
