"""boto3: Amazon Bedrock."""

import boto3

from field.each import in_threads

PACKAGES = ("boto3",)


def run_sync(rows):
    """`client("bedrock-runtime").converse`, eight threads"""
    session = boto3.Session(aws_access_key_id="id", aws_secret_access_key="key", region_name="us-east-1")
    client = session.client("bedrock-runtime")

    def ask(row):
        messages = [{"role": "user", "content": [{"text": f"Summarise {row}"}]}]
        answer = client.converse(modelId="amazon.nova-lite-v1:0", messages=messages)
        return answer["output"]["message"]["content"][0]["text"]

    return in_threads(ask, rows)
