"""Certificates are read when they are needed, and no later than the process is given back."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import certifi
import pytest

from wavetank.patches.certificates import certificates_unread

STORE: Final = certifi.where()


def new_context(cafile: str | None = STORE) -> ssl.SSLContext:
    """A client's context, as most libraries make it."""
    return ssl.create_default_context(cafile=cafile)


@pytest.fixture(autouse=True)
def _store_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store of the machine is in use, and has been read without an error."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with certificates_unread(lambda: True):
        new_context()


@pytest.mark.parametrize("cafile", [STORE, None])
def test_a_context_of_the_run_reads_nothing_until_it_is_needed(cafile: str | None) -> None:
    """What a context is to read is put off, and read when its store is looked at."""
    with certificates_unread(lambda: True) as postponed:
        context = new_context(cafile)
        assert len(postponed) == 1
        assert context.cert_store_stats()["x509"] > 10
        assert len(postponed) == 0


def test_a_context_that_outlives_the_run_has_its_certificates() -> None:
    """A client that a test leaves behind checks certificates as if nothing had been put off."""
    with certificates_unread(lambda: True) as postponed:
        contexts = [new_context() for _ in range(5)]
        assert len(postponed) == 5
    assert all(context.cert_store_stats()["x509"] > 10 for context in contexts)
    assert contexts[0].verify_mode is ssl.CERT_REQUIRED


def test_a_context_that_is_dropped_is_never_read() -> None:
    """Nothing keeps a context alive for the sake of what it never read."""
    with certificates_unread(lambda: True) as postponed:
        new_context()
        assert len(postponed) == 0


def test_wrapping_a_connection_reads_first() -> None:
    """A handshake sees the certificates."""
    with certificates_unread(lambda: True) as postponed:
        context = new_context()
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="api.openai.com")
        assert len(postponed) == 0


def test_a_file_that_cannot_be_read_is_reported_at_once(tmp_path: Path) -> None:
    """A missing file, and one without certificates, fail where they are named."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with certificates_unread(lambda: True):
        for path, error in ((str(tmp_path / "missing.pem"), FileNotFoundError), (str(broken), ssl.SSLError)):
            for _ in range(2):
                with pytest.raises(error):
                    new_context(path)


def test_threads_outside_the_run_read_as_usual() -> None:
    """Only the run's own contexts are put off."""
    with certificates_unread(lambda: False) as postponed:
        new_context()
        new_context(None)
        assert len(postponed) == 0


def test_the_class_is_as_it_was_after_the_run() -> None:
    """Nothing stays patched."""
    before = {name: getattr(ssl.SSLContext, name) for name in dir(ssl.SSLContext)}
    with certificates_unread(lambda: True), certificates_unread(lambda: True):
        new_context()
    assert {name: getattr(ssl.SSLContext, name) for name in dir(ssl.SSLContext)} == before
