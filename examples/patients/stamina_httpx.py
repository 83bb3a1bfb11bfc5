"""stamina around httpx."""

from __future__ import annotations

import datetime as dt
from functools import partial

import httpx
import plain_httpx
import stamina
from batch import Patient


def retry_after_or_backoff(error: Exception) -> bool | dt.timedelta:
    """A hook of stamina: the Retry-After of a refusal, or its own backoff."""
    if isinstance(error, httpx.HTTPStatusError) and (wait := error.response.headers.get("retry-after")):
        return dt.timedelta(seconds=float(wait))
    return isinstance(error, httpx.HTTPError)


PATIENTS = (
    Patient(
        name="stamina around httpx",
        packages=("stamina", "httpx"),
        settings="`retry(on=httpx.HTTPError)`",
        asking=partial(plain_httpx.asking, stamina.retry(on=httpx.HTTPError)),
    ),
    Patient(
        name="stamina, by the Retry-After",
        packages=("stamina", "httpx"),
        settings="`retry(on=…, timeout=None)`, a hook that returns the Retry-After",
        asking=partial(plain_httpx.asking, stamina.retry(on=retry_after_or_backoff, timeout=None)),
    ),
)
