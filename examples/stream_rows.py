"""Asks a question of each file and writes the answers as they come, as CSV: `python stream_rows.py FOLDER QUESTION`."""

import csv
import sys

from viiwork import Client, ViiworkError


def main(folder: str, question: str) -> None:
    table = csv.writer(sys.stdout)
    table.writerow(["document", "answer", "page", "quote", "error"])
    with Client() as client:
        for row in client.analyze(folder, task="ask", question=question):  # each once it is there
            answer = row.answer
            quote = answer.evidence[0] if answer and answer.evidence else None
            table.writerow(
                [
                    row.document,
                    answer.text if answer else "",
                    quote.page if quote else "",
                    quote.quote if quote else "",
                    "" if answer else f"{row.error.code}: {row.error.message}",
                ]
            )
            sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python stream_rows.py FOLDER QUESTION")
    try:
        main(*sys.argv[1:])
    except ViiworkError as error:
        sys.exit(f"{error.code}: {error}")
