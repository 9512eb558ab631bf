"""What a job that user code submits is expected to use, from what the client would post for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..ibm.finished import PROGRAM, decoded
from .usage import UsageEstimate, estimate_usage

log = logging.getLogger(__name__)


def submitted_usage(program: str, inputs: Mapping[str, Any], backend: Any) -> UsageEstimate | None:
    """Estimate a submission; None for a program or inputs that cannot be estimated. Makes no request.

    Args:
        program: its id.
        inputs: as the client's primitives hand them over, before they are encoded.
        backend: the one it is for.
    """
    try:
        if program == PROGRAM:
            job, options = decoded(dict(inputs))
            return estimate_usage([job], backend, program, options)
        if program in ("sampler", "estimator"):
            return estimate_usage(inputs["pubs"], backend, program, inputs.get("options"))
    except Exception as error:  # noqa: BLE001 - an estimate is no reason to refuse a submission
        log.info("the usage of a job of %s cannot be estimated: %s", program, error)
    return None
