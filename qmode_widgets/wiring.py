"""What the screens lend to the controllers. Imported when a public name is used for the first time."""

from __future__ import annotations

from functools import cache


@cache
def wire() -> None:
    """Let controllers show themselves, and screens hear of new controllers."""
    from .control.registry import registry
    from .frontend.display import display, show, widget
    from .frontend.hub import hub

    registry.display = display
    registry.widget = widget
    registry.show = show
    registry.gone = hub.unregister
    registry.on_add(hub.register)
