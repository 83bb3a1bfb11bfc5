"""portkey-ai: its client."""

from portkey_ai import Portkey

from field.each import in_threads, messages

PACKAGES = ("portkey-ai",)


def run_sync(rows):
    """`Portkey().chat.completions.create`, eight threads"""
    client = Portkey(api_key="key", virtual_key="openai")

    def ask(row):
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages(row))
        return answer.choices[0].message.content

    return in_threads(ask, rows)
