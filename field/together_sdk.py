"""together: its client."""

from together import Together

from field.each import in_threads, messages

PACKAGES = ("together",)


def run_sync(rows):
    """`Together().chat.completions.create`, eight threads"""
    client = Together(api_key="key")

    def ask(row):
        answer = client.chat.completions.create(model="meta-llama/Llama-3-8b-chat-hf", messages=messages(row))
        return answer.choices[0].message.content

    return in_threads(ask, rows)
