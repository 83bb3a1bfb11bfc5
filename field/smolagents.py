"""smolagents: a model, without an agent."""

from smolagents import ChatMessage, OpenAIServerModel

from field.each import in_threads

PACKAGES = ("smolagents", "openai")


def run_model(rows):
    """`OpenAIServerModel.generate`, eight threads"""
    model = OpenAIServerModel("gpt-4o-mini")

    def ask(row):
        chat = [ChatMessage(role="user", content=[{"type": "text", "text": f"Summarise {row}"}])]
        return model.generate(chat).content

    return in_threads(ask, rows)
