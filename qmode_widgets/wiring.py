"""What the higher floors lend to the lower ones. Everything is imported when it is first needed, not here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from .model.partition import Partition


def wire(*, planning: bool) -> None:
    """Set the hooks, when a public name is used for the first time."""
    _wire_control()
    if planning:
        _wire_planning()


@cache
def _wire_planning() -> None:
    from .frontend.figures import lend

    lend()


@cache
def _wire_control() -> None:
    from .control import sending
    from .control import workload as controllers
    from .frontend.display import display
    from .frontend.hub import hub

    controllers.registry.display = display
    controllers.registry.on_add(hub.register)
    controllers.hooks.figure = _workload_figure
    sending.hooks.partition = _partition
    sending.hooks.price = _price


def _partition(pubs: list[Any], backend: Any, primitive: Any, **run_options: Any) -> list[Partition]:
    from .planning.splitting import partition

    return partition(pubs, backend, primitive=primitive, **run_options)


def _price(
    pubs: list[Any], backend: Any, primitive: Any, partitions: Sequence[Partition], **run_options: Any
) -> list[Partition]:
    from .planning.settings import settings
    from .planning.splitting import priced
    from .planning.usage import job_usage, shares
    from .planning.work import analyse

    work = analyse(pubs, backend, settings(primitive, None), run_options.get("shots"), run_options.get("precision"))
    return [priced(p, job_usage(work, shares(work, p))) for p in partitions]


def _workload_figure(controller: Any, kind: str) -> Any:
    from .frontend.figures import workload_figure

    return workload_figure(controller.snapshot(), kind)
