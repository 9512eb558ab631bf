"""A twin: what a service answered about its backends and an instance, kept in one file.

The file holds no key, no CRN and no name of a person. It is JSON, so that this can be seen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Recorded(BaseModel):
    """What a service answers about one backend.

    Args:
        name: its name.
        configuration: its configuration.
        properties: its properties (the calibration).
        wait_time_seconds: how long jobs waited for it; None: the service did not say.
        queue_length: jobs of all users that waited for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")
    configuration: dict[str, Any]
    properties: dict[str, Any]
    wait_time_seconds: dict[str, float] | None = None
    queue_length: int = Field(default=0, ge=0)


class InstanceTerms(BaseModel):
    """What an instance's plan allows; seconds. None: the service did not say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: str = "Pay-as-you-go"
    pricing: str = "paygo"
    limit_seconds: float | None = None
    allocation_seconds: float | None = None
    consumed_seconds: float = 0.0
    max_ttl: float | None = None
    interactive_ttl: float | None = None
    active_ttl: float | None = None


class Twin(BaseModel):
    """Backends and an instance.

    Args:
        instance: its plan, limits and TTLs.
        backends: at least one.
        notes: what could not be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["qmode-twin-1"] = "qmode-twin-1"
    instance: InstanceTerms
    backends: list[Recorded] = Field(min_length=1)
    notes: list[str] = []

    @property
    def text(self) -> str:
        """The file's content."""
        return self.model_dump_json(indent=1)

    def save(self, path: str | Path) -> Path:
        """Write the file, which only its owner can read.

        Returns:
            Where it was written.
        """
        file = Path(path)
        file.touch(mode=0o600)
        file.write_text(self.text)
        return file

    @classmethod
    def load(cls, path: str | Path) -> Twin:
        """Read a file.

        Raises:
            ValueError: it is not the file of a twin, or cannot be read.
        """
        try:
            return cls.model_validate(json.loads(Path(path).read_text()))
        except OSError as error:
            raise ValueError(f"the twin {str(path)!r} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(map(str, wrong["loc"]))
            raise ValueError(f"{str(path)!r} is not the file of a twin: {where}: {wrong['msg']}") from None
        except ValueError:
            raise ValueError(f"{str(path)!r} is not the file of a twin: it is not JSON") from None
