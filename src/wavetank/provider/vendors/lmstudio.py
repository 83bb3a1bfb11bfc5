"""LM Studio's local server, at its own port.

Sources: lmstudio.ai/docs/developer/openai-compat, and issue 1323 of its bug tracker: a path that it does not
have is answered with 200.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="lmstudio",
    hosts=("localhost:1234", "127.0.0.1:1234", "[::1]:1234", "0.0.0.0:1234", "lmstudio"),
    needs_key=False,
    response_headers={},
    error_body={"error": "{message}"},
    unknown_path=("Unexpected endpoint or method. ({method} {path})",),
    unknown_path_status=200,
    models=("openai/gpt-oss-20b", "text-embedding-nomic-embed-text-v1.5"),
    serves=("chat", "completions", "responses", "embeddings", "models"),
)
