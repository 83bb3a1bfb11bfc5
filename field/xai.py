"""xai-sdk: a client over gRPC."""

from xai_sdk import Client
from xai_sdk.chat import user

from field.each import in_threads

PACKAGES = ("xai-sdk", "grpcio")


def run_sync(rows):
    """`Client().chat.create(…).sample()`, eight threads"""
    client = Client(api_key="key")

    def ask(row):
        chat = client.chat.create(model="grok-4")
        chat.append(user(f"Summarise {row}"))
        return chat.sample().content

    return in_threads(ask, rows)
