"""The shared gates of a run."""

from __future__ import annotations

from typing import Any, Final, final

from anyio.abc import TaskGroup

from ..gate.gate import Gate
from .address import DEFAULT_NAME, SharedAddress, account_name, auto_path, key_name, parse_address
from .errors import SharedGateError, StoreAway
from .shared_gate import SharedGate
from .shared_limits import SharedLimits
from .stores import Store


@final
class Sharing:
    """Makes the shared gates of a run and keeps their links.

    Args:
        limits: the options.
        program: what `auto` calls the account if the options do not say it.
    """

    def __init__(self, limits: SharedLimits, program: str) -> None:
        self._limits = limits
        self._address: Final[SharedAddress] = parse_address(limits.address)
        self._program = program
        self._group: TaskGroup | None = None
        self._waiting: list[SharedGate] = []

    async def check(self) -> None:
        """See that the place can be used, before anything is sent.

        Raises:
            SharedGateError: it cannot; the text says why.
        """
        store = self._store("check")
        try:
            await store.connect()
        except StoreAway as error:
            if self._limits.share_of is None:
                raise SharedGateError(
                    f"{error}; start it, or say among how many processes the limit is divided without it "
                    "(--share-of N, or SharedLimits(share_of=N))"
                ) from error
        finally:
            await store.aclose()

    def start(self, group: TaskGroup) -> None:
        """Keep the links of all gates in this group, also of those that are made later."""
        self._group = group
        for gate in self._waiting:
            group.start_soon(gate.run, name="wavetank-shared-gate")
        self._waiting.clear()

    def gate(self, *, name: str, **options: Any) -> Gate:
        """A shared gate for a scope."""
        gate = SharedGate(self._store(name), share_of=self._limits.share_of, name=name, **options)
        if self._group is None:
            self._waiting.append(gate)
        else:
            self._group.start_soon(gate.run, name="wavetank-shared-gate")
        return gate

    def _store(self, scope: str) -> Store:
        # They import ssl and sqlite3, which only some installations of Python have.
        from .file_store import FileStore
        from .redis_store import RedisStore

        address, account = self._address, self._limits.account
        is_auto = not address.is_server and address.path is None
        if account is not None:
            provider, secret, scope = account(scope)
        else:
            provider, secret = DEFAULT_NAME, self._program if is_auto else ""
        if is_auto:
            try:
                path = auto_path(provider, secret)
            except OSError as error:
                raise SharedGateError(
                    f"{error.filename} cannot be used for shared='auto': {error.strerror}; give file:PATH"
                ) from error
            return FileStore(path, key_name(provider, scope))
        name = address.name or (account_name(provider, secret) if secret else provider)
        if address.is_server:
            return RedisStore(address, key_name(name, scope))
        assert address.path is not None
        return FileStore(address.path, key_name(name, scope))
