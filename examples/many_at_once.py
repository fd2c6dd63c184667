"""Several analyses side by side in one event loop: `python many_at_once.py FOLDER QUESTION...`."""

import asyncio
import sys

from viiwork import AsyncClient, ViiworkError


async def answers(client: AsyncClient, folder: str, question: str) -> str:
    analysis = await client.analyze(folder, task="ask", question=question)
    found = 0
    async for row in analysis:
        found += row.answer is not None and bool(row.answer.evidence)
    return f"{question} {found} of {analysis.counts.total} files have an answer"


async def main(folder: str, *questions: str) -> None:
    async with AsyncClient() as client:
        for line in await asyncio.gather(*(answers(client, folder, question) for question in questions)):
            print(line)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python many_at_once.py FOLDER QUESTION...")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except ViiworkError as error:
        sys.exit(f"{error.code}: {error}")
