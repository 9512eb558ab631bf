"""The client's side of the control endpoint: faults, pauses, waiting for states."""

from __future__ import annotations

from typing import Any, Literal

import requests


class Control:
    """Speaks to `/control` of one service."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self._token: str | None = None
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business between us and loopback

    def get(self, path: str, params: dict[str, Any] | None = None, *, timeout: float = 30) -> dict[str, Any]:
        """GET."""
        return self._ask("GET", path, timeout, params=params)

    def post(self, path: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST."""
        return self._ask("POST", path, 30, json=values or {})

    def delete(self, path: str) -> dict[str, Any]:
        """DELETE."""
        return self._ask("DELETE", path, 30)

    def _ask(self, method: str, path: str, timeout: float, **kwargs: Any) -> dict[str, Any]:
        for attempt in (0, 1):
            if self._token is None:
                self._token = self._login(timeout)
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = self._session.request(
                method, f"{self._url}/control/{path}", headers=headers, timeout=timeout, **kwargs
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
        answer = self._session.post(f"{self._url}/identity/token", data={"apikey": self._key}, timeout=timeout)
        answer.raise_for_status()
        return str(answer.json()["access_token"])


class Faults:
    """What is to go wrong, and when the QPU stands still. Paths are those below the API's base, as `/jobs/.*`."""

    def __init__(self, control: Control) -> None:
        self._control = control

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
        """The next `count` submitted jobs fail when the QPU is done with them.

        Args:
            count: how many.
            code: the reason's code.
            reason: the reason's text.
            solution: what to do about it.
            system: a system error is billed nothing; a user's error what the job consumed.
            tag: only jobs that carry this tag.
            skip: let so many pass first.
        """
        values = {"code": code, "reason": reason, "solution": solution, "system": system, "tag": tag, "skip": skip}
        self._control.post("faults", {"kind": "job", "count": count, **values})

    def fail_requests(
        self,
        status: int = 503,
        *,
        method: str | None = None,
        path: str = ".*",
        when: Literal["before", "after"] = "before",
        count: int = 1,
        retry_after: float | None = None,
        delay: float = 0.0,
    ) -> None:
        """The next `count` matching requests are answered with `status`, before or after they are carried out."""
        self._request("status", method, path, when, count, status=status, retry_after=retry_after, delay=delay)

    def drop(
        self,
        *,
        method: str | None = None,
        path: str = ".*",
        when: Literal["before", "after"] = "before",
        count: int = 1,
    ) -> None:
        """The next `count` matching requests get no answer: the connection closes."""
        self._request("drop", method, path, when, count)

    def truncate(self, *, method: str | None = None, path: str = ".*", count: int = 1) -> None:
        """The answers to the next `count` matching requests break off in the middle of their body."""
        self._request("truncate", method, path, "after", count)

    def delay(self, seconds: float, *, method: str | None = None, path: str = ".*", count: int = 1) -> None:
        """The next `count` matching requests are carried out and answered `seconds` later."""
        self._request("delay", method, path, "before", count, delay=seconds)

    def _request(self, action: str, method: str | None, path: str, when: str, count: int, **more: Any) -> None:
        values = {"action": action, "method": method, "path": path, "when": when, "count": count, **more}
        self._control.post("faults", {"kind": "request", **values})

    def lag_listings(self, seconds: float) -> None:
        """Lists show jobs and workloads only so many seconds after they were created; 0 ends it."""
        self._control.post("faults", {"listing_lag": seconds})

    def soak(self, probability: float) -> None:
        """Each request and each job goes wrong with this probability (seeded by the option `seed`); 0 ends it."""
        self._control.post("faults", {"soak": probability})

    def skew_clock(self, seconds: float) -> None:
        """The service's clock is shown so many seconds ahead; 0 ends it."""
        self._control.post("faults", {"skew": seconds})

    def use_up(self, instance: str, seconds: float) -> None:
        """An instance ("emulator-open", …) has used so many seconds more than its jobs have; 0 ends it."""
        self._control.post("faults", {"instance": instance, "used": seconds})

    def expire_token(self) -> None:
        """Every access token given so far becomes invalid."""
        self._control.post("faults", {"expire": True})

    def pause(self, *, queue: bool = False) -> None:
        """No job starts on the QPU; with `queue`, none leaves the queue either, so that all stay Queued."""
        self._control.post("faults", {"pause": "queue" if queue else "qpu"})

    def resume(self) -> None:
        """End a pause."""
        self._control.post("faults", {"resume": True})

    def clear(self) -> None:
        """Nothing goes wrong any more: faults, lag, skew and pause end."""
        self._control.post("faults", {"clear": True})

    def pending(self) -> dict[str, Any]:
        """What is still to come."""
        return self._control.get("faults")

    def wait_for(self, id: str, *states: str, timeout: int = 30) -> str:
        """Wait until a job ("Queued", "Running", "Completed", …) or workload ("active", …) is in one of the states.

        Raises:
            TimeoutError: it is not, after `timeout` seconds.
        """
        answer = self._control.get(f"wait/{id}", {"state": list(states), "timeout": timeout}, timeout=timeout + 10)
        return str(answer["state"])

    def requests(self) -> list[tuple[str, str, int]]:
        """The requests answered so far: method, path, status; forget them with `forget_requests`."""
        return [(str(m), str(p), int(s)) for m, p, s in self._control.get("requests")["requests"]]

    def forget_requests(self) -> None:
        """Begin a new record of requests."""
        self._control.delete("requests")
