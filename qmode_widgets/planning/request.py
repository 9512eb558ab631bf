"""What a plan is asked for, checked once where it comes in; everything behind it may rely on it.

Each field's description is the remedy that the error names. Numbers may be NumPy's; text is never read as a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import ArgumentError
from ..model.partition import Partition
from .calibration import Calibration
from .choice import Prefer

NoiseModel = Literal["none", "in every job", "learned once"]
PLANS = ("open", "pay-as-you-go", "flex", "premium", "on-prem", "standard", "lite", "internal")


def _plain_number(value: Any) -> Any:
    """NumPy's scalars as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _plan_name(value: Any) -> Any:
    if isinstance(value, str):
        bare = re.sub(r"[\s_]+", "-", value.strip().lower()).removesuffix("-plan")
        if bare in PLANS:
            return value
        near = get_close_matches(bare, PLANS, 1)
        raise ValueError(f"did you mean {near[0]!r}?" if near else f"one of {', '.join(map(repr, PLANS))}")
    return value


Number = BeforeValidator(_plain_number)
Seconds = Annotated[float, Number, Field(ge=0, allow_inf_nan=False, description="give finite seconds, 0 or more")]
Positive = Annotated[float, Number, Field(gt=0, allow_inf_nan=False, description="give a finite number above 0")]
Amount = Annotated[float, Number, Field(ge=0, allow_inf_nan=False, description="give a number of at least 0")]
Count = Annotated[int, Number, Field(ge=1)]
Switch = Annotated[bool, Number, Field(description="give True or False")]


class Request(BaseModel):
    """The arguments of `plan` and its like that do not depend on the PUBs."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True, extra="forbid", frozen=True)

    shots: Annotated[Count | None, Field(description="give a whole number of at least 1")] = None
    precision: Annotated[Positive | None, Field(description="give a finite number above 0")] = None
    iterative: Annotated[bool | Count, Number, Field(description="True, or a whole number of steps of at least 1")] = (
        False
    )
    inputs_ready: Switch = True
    exclusive: Switch = False
    instance_plan: Annotated[
        str | None, BeforeValidator(_plan_name), Field(description="give the name of the instance's plan")
    ] = None
    partitions: Annotated[
        Literal["auto"] | Count | Sequence[Partition],
        Number,
        Field(description='"auto", a whole number of jobs, or a list of Partitions'),
    ] = "auto"
    classical: Annotated[Seconds | None, Field(description="give finite seconds, 0 or more")] = None
    noise_model: Annotated[NoiseModel | None, Field(description='"none", "in every job" or "learned once"')] = None
    usage_left: Annotated[Seconds | None, Field(description="give finite seconds, 0 or more")] = None
    price_per_minute: Annotated[Amount | None, Field(description="give a number of at least 0")] = None
    calibration: Annotated[
        Calibration | bool | None, Field(description="True, False, or what calibrate(backend) returned")
    ] = None
    prefer: Annotated[Prefer, Field(description='"cheapest", "soonest" or "balanced"')] = "balanced"
    hour_worth: Annotated[Amount | None, Field(description="give a number of at least 0")] = None
    budget: Annotated[Positive | None, Field(description="give seconds of QPU usage above 0")] = None


def request(**given: Any) -> Request:
    """The arguments, checked.

    Raises:
        ArgumentError: which argument, its value, and what to give instead.
    """
    try:
        return Request(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        hint = str(Request.model_fields[name].description)
        if first["type"] == "value_error":
            hint = str(first["ctx"]["error"])
        raise ArgumentError(f"{name}={_short(given[name])}: {hint}") from None


def _short(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:59] + "…"


def deadline_seconds(given: Any, now: datetime | None = None) -> float | None:
    """Seconds from now until a deadline.

    Args:
        given: seconds from now, a `timedelta`, a `datetime`, a time of the day ("17:00" or a `time`; tomorrow's where
            today's has passed), or None.
        now: for tests.

    Raises:
        ArgumentError: something else, or a moment that has passed.
    """
    if given is None:
        return None
    now = now or datetime.now().astimezone()
    hint = 'give seconds from now, "17:00", a datetime or a timedelta'
    if isinstance(given, bool):
        raise ArgumentError(f"deadline={given!r}: {hint}")
    if isinstance(given, str):
        try:
            given = (
                time.fromisoformat(given) if "T" not in given and "-" not in given else datetime.fromisoformat(given)
            )
        except ValueError:
            raise ArgumentError(f"deadline={given!r}: {hint}") from None
    if isinstance(given, time):
        at = now.replace(hour=given.hour, minute=given.minute, second=given.second, microsecond=0)
        given = at if at > now else at + timedelta(days=1)
    if isinstance(given, datetime):
        given = (given.astimezone() if given.tzinfo is None else given) - now
    seconds = given.total_seconds() if isinstance(given, timedelta) else _plain_number(given)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise ArgumentError(f"deadline={_short(given)}: {hint}, later than now")
    return float(seconds)
