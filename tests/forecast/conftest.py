"""The Python processes that these tests start are forked: most are `wavetank` at work."""

from ..forked import fork_them as fork_them
