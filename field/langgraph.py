"""langgraph: a map over the rows, with a retry policy."""

import operator
from typing import Annotated, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy, Send

PACKAGES = ("langgraph", "langchain-openai")


class State(TypedDict):
    rows: list
    out: Annotated[list, operator.add]


def compiled(work):
    graph = StateGraph(State)
    graph.add_node("work", work, retry_policy=RetryPolicy(max_attempts=8))
    graph.add_conditional_edges(
        START, lambda state: [Send("work", {"row": row}) for row in state["rows"]], ["work"]
    )
    graph.add_edge("work", END)
    return graph.compile()


async def run_map(rows):
    """`Send` to a node with `RetryPolicy(max_attempts=8)`, `ainvoke` with `max_concurrency` 8"""
    model = ChatOpenAI(model="gpt-4o-mini", max_retries=2)

    async def work(state):
        answer = await model.ainvoke(f"Summarise {state['row']}")
        return {"out": [(state["row"], answer.text)]}

    config = {"max_concurrency": 8}
    try:
        done = await compiled(work).ainvoke({"rows": rows, "out": []}, config=config)
    except Exception as error:  # one row that fails ends the graph
        return [error] * len(rows)
    answers = dict(done["out"])
    return [answers[row] for row in rows]
