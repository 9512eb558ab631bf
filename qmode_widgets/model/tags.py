"""What a job's tags say, both ways. The tags are the only store: `attach` rebuilds a workload from them.

    qmode:<run>                               groups the jobs of one `submit` call
    qmode:<run>:<partition>.<of>.<attempt>    the deterministic key of one partition's attempt
    qmode@<pieces>                            which PUBs, and which parts of them, the partition carries
    qmode#<label>                             the iteration it belongs to
    qmode=<label>                             the name that its user gave the run

A submission whose answer was lost is looked up by its key. IBM takes 8 tags a job and seems to limit their length
(code 1205); ours stay under 40 characters.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .partition import Partition, Piece

PREFIX, LAYOUT, GROUP, LABEL = "qmode:", "qmode@", "qmode#", "qmode="
MAX_TAGS = 8
LONGEST_LABEL = 30
MOST = 1_000_000  # partitions of a run, PUBs of a partition: what is written must be readable, and cheap to read
_ATTEMPT = re.compile(r"qmode:([a-z0-9]{6,12}):(\d{1,7})\.(\d{1,7})\.(\d{1,3})")
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


def run_of(key: str) -> str:
    """The run id that a caller's own key stands for: the key itself where it has the form of one, else its digest."""
    return key if is_run(key) else hashlib.sha256(key.encode()).hexdigest()[:12]


def run_tag(run: str) -> str:
    """The tag all jobs of a run share."""
    return PREFIX + run


def is_run(text: str) -> bool:
    """It has the form of a run id."""
    return _RUN.fullmatch(run_tag(text)) is not None


@dataclass(frozen=True, slots=True)
class JobTags:
    """What the tags of a job say: ours, as far as they are there and whole, and the user's own."""

    key: AttemptKey | None
    partition: Partition | None
    group: str | None
    own: tuple[str, ...]
    label: str | None = None


def read(tags: Sequence[str]) -> JobTags:
    """What a job's tags say.

    One that only looks like ours is left to the user: a partition outside its run, no tag of the run beside it.
    """
    key: AttemptKey | None = None
    for tag in tags:
        m = _ATTEMPT.fullmatch(tag)
        # A run of one partition may do without the run's tag, where its user's own tags left no room.
        if m and int(m[2]) < int(m[3]) and (int(m[3]) == 1 or run_tag(m[1]) in tags):
            key = AttemptKey(m[1], int(m[2]), int(m[3]), int(m[4]))
            break
    if key is None:
        return JobTags(None, None, None, tuple(tags))
    partition, rest = _read_layout([t for t in tags if t not in (key.tag, run_tag(key.run))])
    group = next((t[len(GROUP) :] for t in rest if t.startswith(GROUP)), None)
    label = next((t[len(LABEL) :] for t in rest if t.startswith(LABEL)), None)
    return JobTags(key, partition, group, tuple(t for t in rest if not t.startswith((GROUP, LABEL))), label)


def own(tags: Sequence[str]) -> list[str]:
    """The user's own among a job's tags, as the user gave them."""
    return list(read(tags).own)


def renewed(tags: Sequence[str], new: Sequence[str]) -> list[str]:
    """What a job's tags become where its user replaces them: the new ones, and ours of those that it has.

    Where there is no room for all, the label goes first, then the run's tag of a run of one partition, then the group.
    A user whose own tags fill all the places gets them: the job is then found by its id only.
    """
    said = read(tags)
    if said.key is None:
        return list(new)
    try:
        return write(said.key, new, said.partition, said.group, said.label, spare=said.key.of == 1)
    except ValueError:
        return list(new)


def write(
    key: AttemptKey,
    own: Sequence[str] = (),
    partition: Partition | None = None,
    group: str | None = None,
    label: str | None = None,
    *,
    spare: bool = False,
) -> list[str]:
    """The tags of one attempt's job: the user's own, then ours.

    Args:
        key: of the attempt.
        own: the user's.
        partition: what the job carries, where the workload was cut.
        group: the iteration it belongs to.
        label: of its run.
        spare: where the service has no room for all, leave out the label, then the run's tag, then the group. The key
            always stays. For a run of one partition.

    Raises:
        ValueError: more tags than the service takes (8), one that looks like ours, or more partitions or PUBs than a
            tag can name (1,000,000).
    """
    if key.of > MOST:
        raise ValueError(f"{key.of:,} partitions are more than the {MOST:,} that a job's tag can number")
    for tag in own:
        if tag.startswith((PREFIX, LAYOUT, GROUP, LABEL)):
            raise ValueError(f"the tag {tag!r} is of the kind qmode_widgets marks its jobs with: use another tag")
    ours = [run_tag(key.run), key.tag]
    if partition is not None and partition.pieces:
        ours += write_layout(partition.pieces)
    if group:
        ours.append(GROUP + group)
    if label:
        ours.append(LABEL + label)
    tags = [*dict.fromkeys(own), *ours]
    if spare:
        for least in (LABEL + (label or ""), run_tag(key.run), GROUP + (group or "")):
            if len(tags) > MAX_TAGS and least in tags:
                tags.remove(least)
    if len(tags) > MAX_TAGS:
        raise ValueError(
            f"{len(own)} job tags of your own and {len(ours)} of ours are more than the {MAX_TAGS} the service takes: "
            "use fewer tags, or partitions of consecutive PUBs, which need one tag to describe"
        )
    return tags


# --- which PUBs a job carries ------------------------------------------------------------------------------------

# Numbers are bounded: tags are anybody's text, and `qmode@0-9999999999` must not become ten thousand million pieces.
# MOST bounds the pieces of all words together.
_PIECE = re.compile(r"(\d{1,7})(?:-(\d{1,7}))?(?:\[(\d{1,9}):(\d{1,9})/([\dx]{0,40})\])?(?:\*(\d{1,9}))?", re.ASCII)
_LONGEST = 60  # of one layout tag; a longer layout goes on in a further tag


def write_layout(pieces: Sequence[Piece]) -> list[str]:
    """The pieces of a partition as tags: `qmode@0-3.7[0:40/5x8].9*1000` is PUBs 0 to 3, the parameter sets 0:40 of
    PUB 7 of shape (5, 8), and 1,000 of PUB 9's shots. Mostly one tag; `read` understands them.

    Raises:
        ValueError: more PUBs than a tag can name (1,000,000).
    """
    if len(pieces) > MOST or any(p.pub >= 10 * MOST for p in pieces):
        raise ValueError(f"a partition's tags can name {MOST:,} PUBs, not {len(pieces):,}: use more partitions")
    words: list[str] = []
    first = last = -2
    for p in [*pieces, None]:
        if p is not None and p.whole and p.pub == last + 1:
            last = p.pub
            continue
        if first >= 0:
            words.append(f"{first}" if first == last else f"{first}-{last}")
        first = last = -2
        if p is None:
            break
        if p.whole:
            first = last = p.pub
            continue
        word = f"{p.pub}"
        if p.start is not None:
            word += f"[{p.start}:{p.stop}/{'x'.join(map(str, p.shape or ()))}]"
        words.append(word if p.shots is None else f"{word}*{p.shots}")
    tags = [""]
    for word in words:
        if tags[-1] and len(LAYOUT) + len(tags[-1]) + len(word) + 1 > _LONGEST:
            tags.append("")
        tags[-1] += f".{word}" if tags[-1] else word
    return [LAYOUT + t if i == 0 else f"{LAYOUT}+{i}.{t}" for i, t in enumerate(tags)]


def _read_layout(tags: Sequence[str]) -> tuple[Partition | None, tuple[str, ...]]:
    """The partition a job's tags describe, if they do, and the tags that are not about it.

    Tags come back from the service in any order: continuations are numbered.
    """
    ours = [t for t in tags if t.startswith(LAYOUT)]
    own = tuple(t for t in tags if not t.startswith(LAYOUT))
    if not ours:
        return None, own
    parts: dict[int, str] = {}
    for t in ours:
        text = t[len(LAYOUT) :]
        number, _, rest = text[1:].partition(".") if text.startswith("+") else ("0", "", text)
        if not number.isdigit():
            return None, tuple(tags)
        parts[int(number)] = rest
    if sorted(parts) != list(range(len(parts))):
        return None, tuple(tags)
    pieces: list[Piece] = []
    for word in ".".join(parts[i] for i in range(len(parts))).split("."):
        m = _PIECE.fullmatch(word)
        if m is None:
            return None, tuple(tags)  # somebody else's tag
        pub, to, start, stop, shape, shots = m.groups()
        if start is None and shots is None:
            if len(pieces) + int(to or pub) - int(pub) >= MOST:
                return None, tuple(tags)
            pieces += [Piece(i) for i in range(int(pub), int(to or pub) + 1)]
            continue
        dims = tuple(int(n) for n in shape.split("x") if n) if shape is not None else None
        pieces.append(
            Piece(
                int(pub),
                None if start is None else int(start),
                None if stop is None else int(stop),
                None if shots is None else int(shots),
                dims,
            )
        )
    return Partition(tuple(pieces)), own
