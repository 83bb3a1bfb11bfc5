"""guidance: a program with one gap."""

from guidance import assistant, gen, models, user

from field.each import in_threads

PACKAGES = ("guidance", "openai")


def run_sync(rows):
    """`models.OpenAI`, one `gen`, eight threads"""

    def ask(row):
        state = models.OpenAI("gpt-4o-mini", echo=False)
        with user():
            state += f"Summarise {row}"
        with assistant():
            state += gen("summary", max_tokens=50)
        return state["summary"]

    return in_threads(ask, rows)
