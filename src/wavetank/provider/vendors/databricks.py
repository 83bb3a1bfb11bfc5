"""Databricks: the foundation models of Model Serving.

Sources: the pages on foundation model APIs and their limits of docs.databricks.com, and errors that its users
have quoted. It states no limits. Its key is DATABRICKS_TOKEN, which other tools read, too: it is left alone.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="databricks",
    hosts=("*.cloud.databricks.com", "*.azuredatabricks.net", "*.gcp.databricks.com"),
    base_paths=("/serving-endpoints", "/ai-gateway/mlflow/v1"),
    error_body={"error_code": "{code}", "message": "{message}"},
    errors={
        "rate-limit": (
            "REQUEST_LIMIT_EXCEEDED: Exceeded workspace rate limit for {model}.",
            "",
            "REQUEST_LIMIT_EXCEEDED",
        ),
        "tokens": (
            "REQUEST_LIMIT_EXCEEDED: Exceeded workspace input tokens per {unit} rate limit for {model}. Work "
            "with your Databricks account team to request a higher FMAPI rate limit tier.",
            "",
            "REQUEST_LIMIT_EXCEEDED",
        ),
        "overloaded": ("The service is temporarily unavailable.", "", "TEMPORARILY_UNAVAILABLE"),
        "server": ("Internal error", "", "INTERNAL_ERROR"),
    },
    status_texts={
        401: ("Credential was not sent or was of an unsupported type for this API.", "", "UNAUTHENTICATED"),
        403: ("Invalid access token.", "", "PERMISSION_DENIED"),
        404: (
            "The given endpoint does not exist, please retry after checking the specified model and version "
            "deployment exists.",
            "",
            "ENDPOINT_NOT_FOUND",
        ),
    },
    models=("databricks-meta-llama-3-3-70b-instruct", "databricks-gte-large-en"),
    serves=("chat", "completions", "responses", "embeddings", "models"),
)
