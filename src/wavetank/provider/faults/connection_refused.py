"""`connection-refused`: nobody listens."""

from __future__ import annotations

from typing import Final

from .mishap import Mishap

MISHAP: Final = Mishap(damage="lost")
"""The client cannot connect: nothing is sent, and no request arrives.

It meets connections, not answers, so a client that keeps its connections open may never meet it.
Behind a loopback server, whose port is open, the connection ends as soon as it is made.
"""
