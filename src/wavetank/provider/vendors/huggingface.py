"""Hugging Face: the router of Inference Providers, and Inference Endpoints.

Sources: huggingface.co/docs/inference-providers, `huggingface_hub.inference` (paths, `error_type`), and
answers that its users have measured: an error is a text, and no limits are stated.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_NO_CREDITS: Final = (
    "You have exceeded your monthly included credits for Inference Providers. Subscribe to PRO to get 20x "
    "more monthly included credits.",
)

CARD: Final = VendorCard(
    name="huggingface",
    hosts=(
        "router.huggingface.co",
        "api-inference.huggingface.co",
        "*.endpoints.huggingface.cloud",
    ),
    key_variables=("HF_TOKEN",),
    key_aliases=("HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGINGFACE_API_KEY"),
    dummy_key="hf_wavetank",
    # A provider behind the router has its own paths.
    base_paths=(
        "/v1",
        "/*/v1",
        "/*/models/*/*/v1",
        "/models/*/*/v1",
        "/*/v3/openai",
        "/*/*/v1",
        "/*/v1/openai",
    ),
    statuses={"billing": 402, "quota": 402},
    error_body={"error": "{message}"},
    errors={
        "rate-limit": ("Too many requests. Please try again later.",),
        "quota": _NO_CREDITS,
        "billing": _NO_CREDITS,
        "overloaded": ("Model is overloaded",),
    },
    status_texts={401: ("Invalid username or password.",), 404: ("Not Found",)},
    reasoning="reasoning",
    models=("openai/gpt-oss-120b", "meta-llama/Llama-3.3-70B-Instruct"),
    serves=("chat", "completions", "responses", "embeddings", "models"),
)
