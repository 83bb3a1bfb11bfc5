"""The result of a campaign as JUnit XML: one case for each test, which CI servers show and compare."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree as xml

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even as an escape (https://www.w3.org/TR/xml/#charsets)."""


def junit(values: Mapping[str, Any]) -> bytes:
    """The document of a campaign's report as plain values.

    A failing schedule is a failure, and a test that fails otherwise an error. `time` is the real time of
    all schedules of a test together, in seconds.
    """
    tests = values["tests"]
    suite = xml.Element(
        "testsuite",
        name="wavetank explore",
        tests=str(len(tests)),
        failures=str(sum(_kind(test) == "failure" for test in tests)),
        errors=str(sum(_kind(test) == "error" for test in tests)),
        skipped=str(sum(_kind(test) == "skipped" for test in tests)),
        time=f"{values['seconds']:.3f}",
    )
    for test in tests:
        _case(suite, test)
    root = xml.Element("testsuites")
    root.append(suite)
    xml.indent(root)
    return bytes(xml.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _kind(test: Mapping[str, Any]) -> str:
    if test["failed"]:
        return "failure" if test["schedule"] else "error"
    return "skipped" if test["schedules"] == 0 else ""


def _case(suite: xml.Element, test: Mapping[str, Any]) -> None:
    path, _, name = test["test"].partition("::")
    case = xml.SubElement(
        suite,
        "testcase",
        classname=_text(path.removesuffix(".py").replace("/", ".")),
        name=_text(name),
        time=f"{test['seconds']:.3f}",
    )
    properties = xml.SubElement(case, "properties")
    for key in ("scenario", "schedules", "distinct", "schedule"):
        if test[key] is not None:
            xml.SubElement(properties, "property", name=key, value=_text(str(test[key])))
    kind = _kind(test)
    if kind:
        found = xml.SubElement(case, kind, message=_text(test["result"]))
        found.text = _text(test["report"] or "")


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
