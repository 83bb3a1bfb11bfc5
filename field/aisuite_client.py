"""aisuite: one client for several vendors."""

import aisuite

from field.each import in_threads, messages

PACKAGES = ("aisuite", "openai")


def run_sync(rows):
    """`Client().chat.completions.create("openai:…")`, eight threads"""
    client = aisuite.Client()

    def ask(row):
        answer = client.chat.completions.create(model="openai:gpt-4o-mini", messages=messages(row))
        return answer.choices[0].message.content

    return in_threads(ask, rows)
