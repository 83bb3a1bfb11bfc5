"""fireworks-ai: its client."""

from fireworks import Fireworks

from field.each import in_threads, messages

PACKAGES = ("fireworks-ai",)


def run_sync(rows):
    """`Fireworks().chat.completions.create`, eight threads"""
    client = Fireworks(api_key="key")

    def ask(row):
        answer = client.chat.completions.create(model="accounts/fireworks/models/x", messages=messages(row))
        return answer.choices[0].message.content

    return in_threads(ask, rows)
