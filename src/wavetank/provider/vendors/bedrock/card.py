"""Amazon Bedrock: its runtime, which answers questions to models.

Sources: the endpoints of botocore (`endpoint-rule-set-1.json` of `bedrock-runtime`), and the statuses of its
`service-2.json`. Credentials are left alone: other services of AWS have the same.
"""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="bedrock",
    hosts=(
        "bedrock-runtime.*.amazonaws.com",
        "bedrock-runtime-fips.*.amazonaws.com",
        "bedrock-runtime.*.amazonaws.com.cn",
        "bedrock-runtime.*.api.aws",
        "bedrock-runtime-fips.*.api.aws",
        "*.bedrock-runtime.*.vpce.amazonaws.com",
    ),
    wire="wavetank.provider.vendors.bedrock.wire",
    paths=("/model/",),
    url_variables={"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "", "ANTHROPIC_BEDROCK_BASE_URL": ""},
    base_paths=("/model",),
    statuses={"billing": 403, "too-large": 400, "conflict": 400},
)
