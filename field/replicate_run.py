"""replicate: a model of its own, whose predictions are polled."""

import replicate

from field.each import in_threads

PACKAGES = ("replicate",)


def run_sync(rows):
    """`replicate.Client().run`, eight threads"""
    client = replicate.Client(api_token="key")

    def ask(row):
        return "".join(client.run("meta/meta-llama-3-8b-instruct", input={"prompt": f"Summarise {row}"}))

    return in_threads(ask, rows)
