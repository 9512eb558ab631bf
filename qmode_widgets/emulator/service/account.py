"""The account: two users, their API keys and access tokens, and one instance on each of three plans."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

import jwt

from ..twin import InstanceTerms

BASE = "/experimental"  # the client uses an address with this word as its API base
BASES = (BASE, "/api/v1")  # IBM documents the second one; other clients use it
CATALOGUE = "/catalogue"
USER_ID = "IBMid-EMULATOR00"
COLLEAGUE_ID = "IBMid-EMULATOR01"
PERIOD = 28 * 24 * 3600.0
ACCOUNT_ID = "e" + "0" * 31


@dataclass(frozen=True, slots=True)
class Instance:
    """A service instance and what its plan allows."""

    name: str
    plan: str  # as the catalogue shows it
    pricing: str
    number: int
    sessions: bool = True
    dry_runs: bool = False
    limit_seconds: int | None = None  # usage per 28 days
    allocation_seconds: int | None = None  # a share, not a cap
    batch_ttl: float | None = None  # the plan's cap on a batch's max TTL
    pending_jobs: int | None = None  # the most jobs that may be pending at once

    @property
    def crn(self) -> str:
        """Its cloud resource name."""
        service = "crn:v1:bluemix:public:quantum-computing:us-east"
        return f"{service}:a/{ACCOUNT_ID}:00000000-0000-4000-8000-00000000000{self.number}::"

    @property
    def plan_id(self) -> str:
        """The catalogue's id of its plan."""
        return f"00000000-0000-4000-9000-00000000000{self.number}"

    @property
    def subscription_id(self) -> str:
        """The id of its subscription."""
        return f"00000000-0000-4000-a000-00000000000{self.number}"

    def search_entry(self) -> dict[str, Any]:
        """Return its entry in the instance search."""
        return {
            "crn": self.crn,
            "name": self.name,
            "service_plan_unique_id": self.plan_id,
            "doc": {"extensions": {"backends": ["all"]}},
            "tags": [],
        }

    def plan_entry(self) -> dict[str, Any]:
        """Return its plan's entry in the catalogue."""
        return {
            "id": self.plan_id,
            "overview_ui": {"en": {"display_name": self.plan}},
            "metadata": {"pricing": {"type": self.pricing}},
        }


OPEN = Instance(
    "emulator-open",
    "Open",
    "free",
    1,
    sessions=False,
    limit_seconds=600,
    allocation_seconds=600,
    batch_ttl=600,
    pending_jobs=3,
)
PAY_AS_YOU_GO = Instance("emulator-payg", "Pay-as-you-go", "paygo", 2)
PREMIUM = Instance("emulator-premium", "Premium", "subscription", 3, dry_runs=True, allocation_seconds=28_800)
INSTANCES = {instance.crn: instance for instance in (OPEN, PAY_AS_YOU_GO, PREMIUM)}


def twin_instance(terms: InstanceTerms) -> Instance:
    """Return the instance of a twin. What was not recorded is as on every plan of that name."""
    is_open = terms.plan.lower() == "open"
    return Instance(
        "emulator-twin",
        terms.plan,
        terms.pricing,
        4,
        sessions=not is_open,
        dry_runs=terms.plan.lower() in ("flex", "premium", "on-prem"),
        limit_seconds=None if terms.limit_seconds is None else round(terms.limit_seconds),
        allocation_seconds=None if terms.allocation_seconds is None else round(terms.allocation_seconds),
        batch_ttl=OPEN.batch_ttl if is_open else None,
        pending_jobs=OPEN.pending_jobs if is_open else None,
    )


def environment(address: str, key: str, instance: Instance = PAY_AS_YOU_GO) -> dict[str, str]:
    """Return the variables with which an unmodified `QiskitRuntimeService()` finds the service at `address`."""
    return {
        "IAM_URL": address,
        "GLOBAL_SEARCH_URL": address,
        "GLOBAL_CATALOG_URL": f"{address}{CATALOGUE}",
        "QISKIT_IBM_CHANNEL": "ibm_quantum_platform",
        "QISKIT_IBM_TOKEN": key,
        "QISKIT_IBM_URL": f"{address}{BASE}",
        "QISKIT_IBM_INSTANCE": instance.crn,
    }


def new_key() -> str:
    """Return a new API key."""
    return f"emulator-{secrets.token_urlsafe(24)}"


def colleague_key(key: str) -> str:
    """Return the API key of the second user; it is derived from the first user's."""
    return f"emulator-colleague-{hmac.digest(key.encode(), b'colleague', hashlib.sha256).hex()}"


def proof(key: str, address: str, nonce: str) -> str:
    """Return what only a holder of the key can answer to a nonce.

    The address is part of it, so that another server cannot pass the question on to the real one.
    """
    return hmac.digest(key.encode(), f"qmode-emulator {address} {nonce}".encode(), hashlib.sha256).hex()


class Keys:
    """The API keys of the two users, and the access tokens issued for them (JWTs, as IAM's are).

    Args:
        key: the first user's API key.
        secret: signs the tokens. A server that is started again with the same one accepts the tokens of before.
    """

    LIFETIME = 3600

    def __init__(self, key: str | None = None, secret: bytes | None = None) -> None:
        self.key = key or new_key()
        self.secret = secret or secrets.token_bytes(32)
        self._users = {self.key: USER_ID, colleague_key(self.key): COLLEAGUE_ID}

    def issue(self, key: str) -> dict[str, Any] | None:
        """Return what IAM answers to an API key, or None for an unknown key."""
        user = next((u for k, u in self._users.items() if hmac.compare_digest(k.encode(), key.encode())), None)
        if user is None:
            return None
        issued = int(time.time())
        expires = issued + self.LIFETIME
        claims = {"iat": issued, "exp": expires, "iam_id": user, "jti": secrets.token_hex(8)}
        return {
            "access_token": jwt.encode(claims, self.secret, algorithm="HS256"),
            "refresh_token": "not_supported",
            "ims_user_id": 0,
            "token_type": "Bearer",
            "expires_in": self.LIFETIME,
            "expiration": expires,
            "scope": "ibm openid",
        }

    def user(self, authorization: str) -> str | None:
        """Return the user whose valid token an `Authorization` header carries, or None."""
        kind, _, token = authorization.partition(" ")
        if kind != "Bearer":
            return None
        try:
            claims = jwt.decode(token, self.secret, algorithms=["HS256"], options={"require": ["exp", "iam_id"]})
        except jwt.InvalidTokenError:
            return None
        return str(claims["iam_id"])

    def expire(self) -> None:
        """Make every token issued so far invalid."""
        self.secret = secrets.token_bytes(32)
