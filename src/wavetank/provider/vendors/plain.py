"""Vendors of whom little more is documented than hosts, paths and variables: the rest is as with OpenAI.

Sources: the providers of litellm (`litellm.llms`, `providers.json`), pydantic-ai and `huggingface_hub`, and
the vendors' own quick starts. A vendor with headers or errors of its own has a file of its own.
"""

from __future__ import annotations

from typing import Any, Final

from ..vendor_card import VendorCard


def _card(
    name: str, hosts: str, keys: str, serves: str = "chat completions embeddings models", **more: Any
) -> VendorCard:
    """A card whose hosts, variables and endpoints are separated by spaces."""
    return VendorCard(
        name=name,
        hosts=tuple(hosts.split()),
        key_variables=tuple(keys.split()),
        serves=tuple(serves.split()),
        **more,
    )


CARDS: Final = (
    _card("ai21", "api.ai21.com", "AI21_API_KEY", "chat", base_paths=("/studio/v1",)),
    _card("anyscale", "api.endpoints.anyscale.com", "ANYSCALE_API_KEY"),
    _card(
        "baseten",
        "inference.baseten.co model-*.api.baseten.co",
        "BASETEN_API_KEY",
        "chat completions models",
        base_paths=("/v1", "/environments/*/sync/v1", "/deployment/*/sync/v1"),
    ),
    _card("chutes", "llm.chutes.ai", "CHUTES_API_KEY", "chat completions models"),
    _card(
        "featherless",
        "api.featherless.ai",
        "FEATHERLESS_API_KEY FEATHERLESS_AI_API_KEY",
        "chat completions models",
    ),
    _card(
        "friendli",
        "api.friendli.ai",
        "FRIENDLI_TOKEN",
        "chat completions models",
        base_paths=("/serverless/v1", "/dedicated/v1"),
    ),
    _card(
        "helicone",
        "ai-gateway.helicone.ai oai.helicone.ai",
        "HELICONE_API_KEY",
        "chat completions responses embeddings models",
        base_paths=("", "/v1"),
    ),
    _card("hunyuan", "api.hunyuan.cloud.tencent.com", "HUNYUAN_API_KEY", "chat embeddings models"),
    _card("hyperbolic", "api.hyperbolic.xyz", "HYPERBOLIC_API_KEY", "chat completions models"),
    _card("inception", "api.inceptionlabs.ai", "INCEPTION_API_KEY", "chat completions models"),
    _card("lambda", "api.lambda.ai api.lambdalabs.com", "LAMBDA_API_KEY", "chat completions models"),
    _card(
        "lepton",
        "*.lepton.run *.lepton.ai",
        "LEPTON_API_KEY",
        "chat completions models",
        base_paths=("/api/v1", "/v1"),
    ),
    _card("minimax", "api.minimax.io api.minimaxi.com", "MINIMAX_API_KEY", "chat models"),
    _card("modelscope", "api-inference.modelscope.cn", "MODELSCOPE_API_KEY", "chat embeddings models"),
    _card(
        "novita",
        "api.novita.ai",
        "NOVITA_API_KEY",
        "chat completions embeddings rerank models",
        base_paths=("/openai", "/openai/v1", "/v3/openai"),
    ),
    _card("nscale", "inference.api.nscale.com", "NSCALE_API_KEY", "chat embeddings models"),
    _card(
        "ovhcloud",
        "*.endpoints.kepler.ai.cloud.ovh.net",
        "OVHCLOUD_API_KEY",
        key_aliases=("OVH_AI_ENDPOINTS_ACCESS_TOKEN",),
        base_paths=("/v1", "/api/openai_compat/v1"),
    ),
    _card(
        "portkey",
        "api.portkey.ai",
        "PORTKEY_API_KEY",
        "chat completions responses embeddings models",
        key_header="x-portkey-api-key",
    ),
    _card("scaleway", "api.scaleway.ai", "", "chat embeddings models", base_paths=("/v1", "/*/v1")),
    _card("snowflake", "*.snowflakecomputing.com", "", "chat", base_paths=("/api/v2/cortex/v1",)),
    _card("stepfun", "api.stepfun.com api.stepfun.ai", "STEPFUN_API_KEY STEP_API_KEY", "chat models"),
    _card(
        "upstage",
        "api.upstage.ai",
        "UPSTAGE_API_KEY",
        "chat embeddings models",
        base_paths=("/v1", "/v1/solar"),
    ),
    _card(
        "venice",
        "api.venice.ai",
        "VENICE_API_KEY VENICE_AI_API_KEY",
        "chat embeddings models",
        base_paths=("/api/v1",),
    ),
    _card("wandb", "api.inference.wandb.ai", "", "chat models"),
)
