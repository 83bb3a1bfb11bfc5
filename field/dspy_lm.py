"""dspy: its own batch of a module."""

import dspy

PACKAGES = ("dspy", "litellm")


def run_batch(rows):
    """`Predict.batch`, `num_threads=8`, `LM(cache=False, num_retries=6)`"""
    model = dspy.LM("openai/gpt-4o-mini", cache=False, num_retries=6)
    with dspy.context(lm=model):
        predict = dspy.Predict("text -> summary")
        examples = [dspy.Example(text=f"Summarise {row}").with_inputs("text") for row in rows]
        results, failed, errors = predict.batch(
            examples, num_threads=8, max_errors=len(rows) + 1, timeout=0, return_failed_examples=True
        )
    told = dict(zip((example.text for example in failed), errors, strict=True))
    return [
        told.get(f"Summarise {row}", RuntimeError("no result")) if result is None else result.summary
        for row, result in zip(rows, results, strict=True)
    ]
