"""What a job's tags say, both ways. The tags are the only store: `attach` rebuilds a workload from them.

    qmode:<run>                               groups the jobs of one `submit` call
    qmode:<run>:<partition>.<of>.<attempt>    the deterministic key of one partition's attempt

A submission whose answer was lost is looked up by its key. IBM takes 8 tags a job and seems to limit their length
(code 1205); ours stay under 40 characters.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace

PREFIX = "qmode:"
MAX_TAGS = 8
_ATTEMPT = re.compile(r"qmode:([a-z0-9]{6,12}):(\d{1,5})\.(\d{1,5})\.(\d{1,3})")
_RUN = re.compile(r"qmode:([a-z0-9]{6,12})")


@dataclass(frozen=True, slots=True, order=True)
class AttemptKey:
    """One attempt at one partition of one run; `partition` from 0, `of` is the number of partitions."""

    run: str
    partition: int
    of: int
    attempt: int = 0

    @property
    def tag(self) -> str:
        """The tag that finds exactly this attempt on the service."""
        return f"{PREFIX}{self.run}:{self.partition}.{self.of}.{self.attempt}"

    @property
    def row(self) -> str:
        """The key of its row on a screen."""
        return f"{self.run}:{self.partition}.{self.attempt}"

    def next(self) -> AttemptKey:
        """The key of a resubmission."""
        return replace(self, attempt=self.attempt + 1)


def new_run() -> str:
    """A run id: eight characters, enough that two runs of one account do not meet."""
    return secrets.token_hex(4)


def run_tag(run: str) -> str:
    """The tag all jobs of a run share."""
    return PREFIX + run


def read(tags: list[str] | tuple[str, ...]) -> tuple[AttemptKey | None, tuple[str, ...]]:
    """The attempt a job's tags name, if any, and the user's own tags.

    A tag that only looks like ours (a partition outside its run, a second key) is left to the user.
    """
    key: AttemptKey | None = None
    for tag in tags:
        if (m := _ATTEMPT.fullmatch(tag)) and int(m[2]) < int(m[3]):
            key = AttemptKey(m[1], int(m[2]), int(m[3]), int(m[4]))
            break
    ours = {key.tag, run_tag(key.run)} if key else set()
    return key, tuple(tag for tag in tags if tag not in ours)


def write(key: AttemptKey, own: list[str] | tuple[str, ...] = ()) -> list[str]:
    """The tags of one attempt's job: the user's own, then ours.

    Raises:
        ValueError: more tags than the service takes (8), or one that looks like ours.
    """
    for tag in own:
        if tag.startswith(PREFIX):
            raise ValueError(
                f"the tag {tag!r} begins with {PREFIX!r}, which marks the jobs of qmode_widgets: use another tag"
            )
    tags = [*dict.fromkeys(own), run_tag(key.run), key.tag]
    if len(tags) > MAX_TAGS:
        raise ValueError(
            f"{len(own)} job tags of your own are too many: the service takes {MAX_TAGS} a job, two of them ours; "
            f"keep at most {MAX_TAGS - 2}"
        )
    return tags
