"""autogen: agents of one model client."""

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

from field.each import in_tasks

PACKAGES = ("autogen-agentchat", "autogen-ext", "openai")


async def run_agents(rows):
    """`AssistantAgent.run`, an agent a row, eight tasks"""
    client = OpenAIChatCompletionClient(model="gpt-4o-mini")

    async def ask(row):
        agent = AssistantAgent("writer", model_client=client)
        return (await agent.run(task=f"Summarise {row}")).messages[-1].content

    return await in_tasks(ask, rows)
