"""`wavetank run`: a table of prompts in, a table of answers out, over a provider's HTTP API."""

from __future__ import annotations
