"""tenacity around httpx."""

from __future__ import annotations

from functools import partial

import httpx
import plain_httpx
import tenacity
from batch import Patient

RETRYING = tenacity.retry(
    retry=tenacity.retry_if_exception_type(httpx.HTTPError),
    wait=tenacity.wait_random_exponential(min=1, max=60),
    stop=tenacity.stop_after_attempt(6),
    reraise=True,
)

PATIENTS = (
    Patient(
        name="tenacity around httpx",
        packages=("tenacity", "httpx"),
        settings="`wait_random_exponential(min=1, max=60)`, `stop_after_attempt(6)`",
        asking=partial(plain_httpx.asking, RETRYING),
    ),
)
