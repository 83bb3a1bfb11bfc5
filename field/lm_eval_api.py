"""lm-eval: its model for OpenAI's API, as an evaluation calls it."""

import json

from lm_eval.api.instance import Instance
from lm_eval.models.api_models import JsonChatStr
from lm_eval.models.openai_completions import OpenAIChatCompletion

from field.each import messages

PACKAGES = ("lm_eval",)


def run_batch(rows):
    """`OpenAIChatCompletion(num_concurrent=8, max_retries=6).generate_until`"""
    model = OpenAIChatCompletion(model="gpt-4o-mini", num_concurrent=8, max_retries=6)
    asked = [
        Instance("generate_until", {}, (JsonChatStr(json.dumps(messages(row))), {"until": ["\n\n"]}), number)
        for number, row in enumerate(rows)
    ]
    try:
        return model.generate_until(asked, disable_tqdm=True)
    except Exception as error:
        return [error] * len(rows)  # one request that fails ends all
