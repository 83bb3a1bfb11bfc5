"""Vendors of whom little more is documented than hosts, paths and variables: the rest is as with OpenAI.

Sources: the providers of litellm (`litellm.llms`, `providers.json`), pydantic-ai and `huggingface_hub`, and
the vendors' own quick starts. A vendor with headers or errors of its own has a file of its own.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_CHAT: Final = ("chat", "completions", "models")

CARDS: Final = (
    VendorCard(
        name="ai21",
        hosts=("api.ai21.com",),
        key_variables=("AI21_API_KEY",),
        base_paths=("/studio/v1",),
        serves=("chat",),
    ),
    VendorCard(
        name="anyscale",
        hosts=("api.endpoints.anyscale.com",),
        key_variables=("ANYSCALE_API_KEY",),
    ),
    VendorCard(
        name="baseten",
        hosts=("inference.baseten.co", "model-*.api.baseten.co"),
        key_variables=("BASETEN_API_KEY",),
        base_paths=("/v1", "/environments/*/sync/v1", "/deployment/*/sync/v1"),
        serves=_CHAT,
    ),
    VendorCard(
        name="chutes",
        hosts=("llm.chutes.ai",),
        key_variables=("CHUTES_API_KEY",),
        serves=_CHAT,
    ),
    VendorCard(
        name="featherless",
        hosts=("api.featherless.ai",),
        key_variables=("FEATHERLESS_API_KEY", "FEATHERLESS_AI_API_KEY"),
        serves=_CHAT,
    ),
    VendorCard(
        name="friendli",
        hosts=("api.friendli.ai",),
        key_variables=("FRIENDLI_TOKEN",),
        base_paths=("/serverless/v1", "/dedicated/v1"),
        serves=_CHAT,
    ),
    VendorCard(
        name="helicone",
        hosts=("ai-gateway.helicone.ai", "oai.helicone.ai"),
        key_variables=("HELICONE_API_KEY",),
        base_paths=("", "/v1"),
        serves=("chat", "completions", "responses", "embeddings", "models"),
    ),
    VendorCard(
        name="hunyuan",
        hosts=("api.hunyuan.cloud.tencent.com",),
        key_variables=("HUNYUAN_API_KEY",),
        serves=("chat", "embeddings", "models"),
    ),
    VendorCard(
        name="hyperbolic",
        hosts=("api.hyperbolic.xyz",),
        key_variables=("HYPERBOLIC_API_KEY",),
        serves=_CHAT,
    ),
    VendorCard(
        name="inception",
        hosts=("api.inceptionlabs.ai",),
        key_variables=("INCEPTION_API_KEY",),
        serves=_CHAT,
    ),
    VendorCard(
        name="lambda",
        hosts=("api.lambda.ai", "api.lambdalabs.com"),
        key_variables=("LAMBDA_API_KEY",),
        serves=_CHAT,
    ),
    VendorCard(
        name="lepton",
        hosts=("*.lepton.run", "*.lepton.ai"),
        key_variables=("LEPTON_API_KEY",),
        base_paths=("/api/v1", "/v1"),
        serves=_CHAT,
    ),
    VendorCard(
        name="minimax",
        hosts=("api.minimax.io", "api.minimaxi.com"),
        key_variables=("MINIMAX_API_KEY",),
        serves=("chat", "models"),
    ),
    VendorCard(
        name="modelscope",
        hosts=("api-inference.modelscope.cn",),
        key_variables=("MODELSCOPE_API_KEY",),
        serves=("chat", "embeddings", "models"),
    ),
    VendorCard(
        name="novita",
        hosts=("api.novita.ai",),
        key_variables=("NOVITA_API_KEY",),
        base_paths=("/openai", "/openai/v1", "/v3/openai"),
        serves=("chat", "completions", "embeddings", "rerank", "models"),
    ),
    VendorCard(
        name="nscale",
        hosts=("inference.api.nscale.com",),
        key_variables=("NSCALE_API_KEY",),
        serves=("chat", "embeddings", "models"),
    ),
    VendorCard(
        name="ovhcloud",
        hosts=("*.endpoints.kepler.ai.cloud.ovh.net",),
        key_variables=("OVHCLOUD_API_KEY",),
        key_aliases=("OVH_AI_ENDPOINTS_ACCESS_TOKEN",),
        base_paths=("/v1", "/api/openai_compat/v1"),
    ),
    VendorCard(
        name="portkey",
        hosts=("api.portkey.ai",),
        key_header="x-portkey-api-key",
        key_variables=("PORTKEY_API_KEY",),
        serves=("chat", "completions", "responses", "embeddings", "models"),
    ),
    VendorCard(
        name="replicate",
        hosts=("openai-proxy.replicate.com",),
        key_variables=("REPLICATE_API_TOKEN",),
        serves=("chat", "models"),
    ),
    VendorCard(
        name="scaleway",
        hosts=("api.scaleway.ai",),
        base_paths=("/v1", "/*/v1"),
        serves=("chat", "embeddings", "models"),
    ),
    VendorCard(
        name="snowflake",
        hosts=("*.snowflakecomputing.com",),
        base_paths=("/api/v2/cortex/v1",),
        serves=("chat",),
    ),
    VendorCard(
        name="stepfun",
        hosts=("api.stepfun.com", "api.stepfun.ai"),
        key_variables=("STEPFUN_API_KEY", "STEP_API_KEY"),
        serves=("chat", "models"),
    ),
    VendorCard(
        name="upstage",
        hosts=("api.upstage.ai",),
        key_variables=("UPSTAGE_API_KEY",),
        base_paths=("/v1", "/v1/solar"),
        serves=("chat", "embeddings", "models"),
    ),
    VendorCard(
        name="venice",
        hosts=("api.venice.ai",),
        key_variables=("VENICE_API_KEY", "VENICE_AI_API_KEY"),
        base_paths=("/api/v1",),
        serves=("chat", "embeddings", "models"),
    ),
    VendorCard(
        name="wandb",
        hosts=("api.inference.wandb.ai",),
        serves=("chat", "models"),
    ),
)
