"""cerebras_cloud_sdk: its client."""

from cerebras.cloud.sdk import Cerebras

from field.each import in_threads, messages

PACKAGES = ("cerebras_cloud_sdk",)


def run_sync(rows):
    """`Cerebras().chat.completions.create`, eight threads"""
    client = Cerebras(api_key="key")

    def ask(row):
        answer = client.chat.completions.create(model="llama3.1-8b", messages=messages(row))
        return answer.choices[0].message.content

    return in_threads(ask, rows)
