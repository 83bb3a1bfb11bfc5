"""crewai: its own batch of a crew."""

import os

os.environ |= {"OTEL_SDK_DISABLED": "true", "CREWAI_DISABLE_TELEMETRY": "true"}
from crewai import LLM, Agent, Crew, Task

PACKAGES = ("crewai", "openai")


async def run_kickoff(rows):
    """`Crew.kickoff_for_each_async` of one agent with one task, telemetry disabled"""
    writer = Agent(role="writer", goal="summarise", backstory="brief", llm=LLM(model="openai/gpt-4o-mini"))
    task = Task(description="Summarise {row}", expected_output="a line", agent=writer)
    crew = Crew(agents=[writer], tasks=[task])
    try:
        return [str(done) for done in await crew.kickoff_for_each_async([{"row": row} for row in rows])]
    except Exception as error:  # one row that fails ends the batch
        return [error] * len(rows)
