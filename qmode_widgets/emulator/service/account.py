"""The account behind the emulator: one user, an API key per run, and instances on three plans."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

USER_ID = "IBMid-EMULATOR00"
_ACCOUNT = "a/e" + "0" * 31


@dataclass(frozen=True, slots=True)
class Instance:
    """A service instance and what its plan allows."""

    name: str
    plan: str  # as the catalogue shows it
    pricing: str
    number: int
    sessions: bool = True
    limit_seconds: int | None = None  # usage per 28 days
    batch_ttl: float | None = None  # the plan's cap on a batch's max TTL

    @property
    def crn(self) -> str:
        """Its cloud resource name."""
        service = "crn:v1:bluemix:public:quantum-computing:us-east"
        return f"{service}:{_ACCOUNT}:00000000-0000-4000-8000-00000000000{self.number}::"

    @property
    def plan_id(self) -> str:
        """The catalogue's id of its plan."""
        return f"00000000-0000-4000-9000-00000000000{self.number}"

    def found(self) -> dict[str, Any]:
        """Its entry in the instance search."""
        return {
            "crn": self.crn,
            "name": self.name,
            "service_plan_unique_id": self.plan_id,
            "doc": {"extensions": {"backends": ["all"]}},
            "tags": [],
        }

    def catalogued(self) -> dict[str, Any]:
        """Its plan's entry in the catalogue."""
        return {
            "id": self.plan_id,
            "overview_ui": {"en": {"display_name": self.plan}},
            "metadata": {"pricing": {"type": self.pricing}},
        }


OPEN = Instance("emulator-open", "Open", "free", 1, sessions=False, limit_seconds=600, batch_ttl=600)
PAY_AS_YOU_GO = Instance("emulator-payg", "Pay-as-you-go", "paygo", 2)
PREMIUM = Instance("emulator-premium", "Premium", "subscription", 3)
INSTANCES = {instance.crn: instance for instance in (OPEN, PAY_AS_YOU_GO, PREMIUM)}
PERIOD = 28 * 24 * 3600.0


class Keys:
    """The API key of this run, and the access tokens given for it (JWTs, as IAM's are)."""

    LIFETIME = 3600

    def __init__(self, key: str | None = None) -> None:
        self.key = key or f"emulator-{secrets.token_urlsafe(24)}"
        self._secret = secrets.token_bytes(32)
        self._valid: dict[str, float] = {}

    def is_key(self, key: str) -> bool:
        """Whether this is the key of this run."""
        return hmac.compare_digest(key.encode(), self.key.encode())

    def issue(self, now: float | None = None) -> dict[str, Any]:
        """What IAM answers to a valid key."""
        issued = int(time.time() if now is None else now)
        expires = issued + self.LIFETIME
        claims = {"iat": issued, "exp": expires, "iam_id": USER_ID, "jti": secrets.token_hex(8)}
        signed = ".".join(_b64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        token = f"{signed}.{_b64(hmac.digest(self._secret, signed.encode(), hashlib.sha256))}"
        self._valid = {t: e for t, e in self._valid.items() if e > issued} | {token: expires}
        return {
            "access_token": token,
            "refresh_token": "not_supported",
            "ims_user_id": 0,
            "token_type": "Bearer",
            "expires_in": self.LIFETIME,
            "expiration": expires,
            "scope": "ibm openid",
        }

    def accepts(self, authorization: str, now: float | None = None) -> bool:
        """Whether an `Authorization` header carries a token of this run that has not expired."""
        kind, _, token = authorization.partition(" ")
        return kind == "Bearer" and self._valid.get(token, 0) > (time.time() if now is None else now)

    def expire(self) -> None:
        """Make every token given so far invalid."""
        self._valid.clear()


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
