"""openai-agents: one agent, many runs."""

from agents import Agent, Runner, set_tracing_disabled

from field.each import in_tasks

PACKAGES = ("openai-agents", "openai")


async def run_agents(rows):
    """`Runner.run` of one agent, eight tasks, tracing disabled"""
    set_tracing_disabled(True)
    agent = Agent(name="writer", instructions="Summarise.", model="gpt-4o-mini")

    async def ask(row):
        return (await Runner.run(agent, f"Summarise {row}")).final_output

    return await in_tasks(ask, rows)
