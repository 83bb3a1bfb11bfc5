"""Which dialect answers for a request: by its host, or at an address of our own by what it looks like."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, final

import msgspec

from ..scenario import Scenario, ScenarioError
from .host_patterns import answers_for, path_ends, path_pattern, split_host
from .http import Dialect, HttpRequest
from .vendor_card import VendorCard
from .vendor_registry import card_named, cards, dialect_of, looks, vendor_at

FORM: Final = "HOST[:PORT][/PREFIX]=DIALECT"
"""How a host is written on a command line and in an ini file."""


class HostApp(NamedTuple):
    """An application of a user's own that answers for a host."""

    call: Callable[..., Any]
    is_asgi: bool
    """Whether it is an ASGI application; else it is a function of one `HttpRequest`, plain or async."""

    @property
    def name(self) -> str:
        """What a message calls it."""
        return "an app"


class HostRule(NamedTuple):
    """A host that a user named, a pattern that may have a port, and what answers there.

    Only paths below `prefix` are meant; what answers sees them without it.
    """

    host: str
    prefix: str
    answers: VendorCard | HostApp


class Route(NamedTuple):
    """What answers for a request, the request as that sees it, and what was taken off its path."""

    answers: Dialect | HostApp
    http: HttpRequest
    prefix: str = ""


def host_rule(place: str, dialect: str) -> HostRule:
    """The rule for `HOST[:PORT][/PREFIX]`.

    >>> host_rule("llm.corp.example/team-a/", "openai").prefix
    '/team-a'

    Raises:
        ValueError: it is no host, or there is no such dialect; the text says what to write.
    """
    return HostRule(*_place(place), card_named(dialect))


def app_rule(place: str, app: Callable[..., Any]) -> HostRule:
    """The rule for `HOST[:PORT][/PREFIX]` that an application answers.

    Raises:
        TypeError: it is neither an ASGI application nor a function of one request.
        ValueError: it is no host.
    """
    return HostRule(*_place(place), HostApp(app, _is_asgi(app)))


_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.*?!-]*[\w*-][\w.*-]*|\[[^\]]+\][\w.*-]+)(?::\d{1,5})?")
_LAST_PORT: Final = 65535


def _place(place: str) -> tuple[str, str]:
    if not isinstance(place, str):
        raise TypeError(f'{place!r} is no host: give a text such as "llm-gateway.corp.example"')
    host, slash, prefix = place.strip().partition("/")
    if _HOST.fullmatch(host) is None or int(split_host(host)[1] or 0) > _LAST_PORT or ".." in prefix:
        raise ValueError(f'{place!r} is no host: write HOST, HOST:PORT or HOST/PREFIX, without "https://"')
    return host.lower(), (slash + prefix).rstrip("/")


def _is_asgi(app: Any) -> bool:
    """Whether it is called with scope, receive and send; else it takes one argument."""
    takes = [count for count in (1, 3) if _takes(app, count)]
    if not takes:
        raise TypeError(
            f"app={app!r}: give an ASGI application, or a function that takes one request and returns "
            "a text, bytes, a dict, a list, a status, or (status, body)"
        )
    return takes == [3]


def _takes(app: Any, count: int) -> bool:
    try:
        inspect.signature(app).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True


def written_rule(line: str) -> HostRule:
    """The rule of a line `HOST[:PORT][/PREFIX]=DIALECT`.

    Raises:
        ValueError: it is none; the text says what to write.
    """
    place, equals, dialect = line.rpartition("=")
    if not equals:
        raise ValueError(f"{line!r}: write {FORM}, such as llm-gateway.corp.example=openai")
    return host_rule(place, dialect.strip())


_configured: Final[list[HostRule]] = []


def configure_host(rule: HostRule) -> None:
    """Let a host be known in all tables of this process.

    Raises:
        ValueError: it is configured in another dialect already.
    """
    _add(_configured, rule)


def forget_configured() -> None:
    """Know the configured hosts no more: another session may follow in this process."""
    _configured.clear()


def _add(rules: list[HostRule], rule: HostRule) -> None:
    for other in rules:
        if (other.host, other.prefix) == (rule.host, rule.prefix) and other.answers != rule.answers:
            raise ValueError(
                f"two dialects or apps for {rule.host}{rule.prefix}: {other.answers.name} and "
                f"{rule.answers.name}; remove one, or give each a prefix of its own"
            )
    rules.append(rule)
    rules.sort(key=lambda each: (-len(each.prefix), -len(each.host)))


@final
class HostTable:
    """The hosts that one fake answers for: those of its own rules, the configured ones, and the vendors'."""

    def __init__(self) -> None:
        self._rules: list[HostRule] = []

    def add(self, rule: HostRule) -> None:
        """Answer for one more host.

        Raises:
            ValueError: there is a rule of this table for the same place already.
        """
        _add(self._rules, rule)

    def knows(self, host: str, port: int | None = None) -> bool:
        """Whether the fake answers at a host, for some path at least."""
        return self.is_named(host, port) or vendor_at(host, port) is not None

    def is_named(self, host: str, port: int | None = None) -> bool:
        """Whether a user named the host."""
        return bool(self._of(host, port))

    def is_app(self, host: str, port: int | None = None) -> bool:
        """Whether nothing but applications answers at a host."""
        rules = self._of(host, port)
        return bool(rules) and all(isinstance(rule.answers, HostApp) for rule in rules)

    def route(self, http: HttpRequest) -> Route | None:
        """What answers for a request to its host; `None`: nothing does, or not for this path."""
        for rule in self._of(http.host, None):
            rest = http.path.removeprefix(rule.prefix)
            if http.path.startswith(rule.prefix) and rest[:1] in ("", "/"):
                rest_of = msgspec.structs.replace(http, path=rest, anywhere=True)
                answers = rule.answers
                return Route(
                    answers if isinstance(answers, HostApp) else dialect_of(answers), rest_of, rule.prefix
                )
        card = vendor_at(http.host)
        return None if card is None else _behind(card, http) or Route(dialect_of(card), http)

    def route_here(self, http: HttpRequest) -> Route:
        """What answers for a request to an address of our own.

        That is its host, if the client names one that is known. Else it is what the request looks like: a
        path or a header that only one vendor has. A path may begin with the name of a dialect, as in
        `/groq/openai/v1/chat/completions`. Where nothing else is known it is OpenAI's.
        """
        return self.route(http) or _by_looks(http)

    def _of(self, host: str, port: int | None) -> list[HostRule]:
        return [rule for rule in (*self._rules, *_configured) if answers_for((rule.host,), host, port)]

    def __repr__(self) -> str:
        return f"<HostTable [{len(self._rules)} hosts of its own]>"


def _behind(card: VendorCard, http: HttpRequest) -> Route | None:
    """What answers for a path of a gateway that is another vendor's."""
    for beginning, name in card.behind.items():
        found = re.match(f"{path_pattern(beginning)}(?=/)", http.path)
        if found is not None:
            rest = http.path[found.end() :]
            return Route(
                dialect_of(card_named(name)), msgspec.structs.replace(http, path=rest, anywhere=True)
            )
    return None


def hosts_of(scenario: Scenario) -> HostTable:
    """The hosts that the fake answers for while it plays a scenario.

    Raises:
        ScenarioError: one is no host, has two dialects, or one that is unknown.
    """
    table = HostTable()
    for number, host in enumerate(scenario.host, start=1):
        try:
            table.add(host_rule(host.host, host.dialect))
        except ValueError as error:
            raise ScenarioError(f"{scenario.name}: [[host]] number {number}: {error}") from None
    return table


_GUESSED_FIRST: Final = ("azure", "openai", "anthropic", "gemini", "vertex", "ollama", "cohere")
"""Whose path it is, where several vendors have it: OpenAI's are those of most gateways, and Azure's end in
OpenAI's."""


def dialect_by_path(method: str, path: str) -> str | None:
    """The dialect that has an endpoint at the end of such a path; `None` if none has.

    Only what is posted is looked at: a list of models and a version look like any other page.

    >>> dialect_by_path("POST", "/team-a/chat/completions"), dialect_by_path("POST", "/proxy/v1/messages")
    ('openai', 'anthropic')
    """
    if method != "POST":
        return None
    ends = path_ends(path)
    known = {card.name: card for card in cards()}
    for card in ({name: known[name] for name in _GUESSED_FIRST} | known).values():
        # Of OpenAI's paths, gateways and compatible vendors leave out the beginning, too.
        anywhere = card.name == "openai"
        for end in ends:
            asked = HttpRequest(method=method, host="", path=end, headers={}, anywhere=anywhere)
            if dialect_of(card).serves(asked):
                return card.name
    return None


def _by_looks(http: HttpRequest) -> Route:
    """The request counts as one to the vendor's own host."""
    known = looks()
    by_path = next((card for beginning, card in known.paths if http.path.startswith(beginning)), None)
    by_header = next((card for name, card in known.headers if name in http.headers), None)
    first = http.path[1:].partition("/")[0]
    # `openai` is also how Azure's own paths begin.
    azure = first == "openai" and by_header is not None and by_header.name == "azure"
    if by_path is None and first in known.names and not azure:
        card, path = known.names[first], http.path.removeprefix(f"/{first}") or "/"
    else:
        card, path = by_path or by_header or known.names["openai"], http.path
    return Route(dialect_of(card), msgspec.structs.replace(http, path=path, host=card.hosts[0]))
