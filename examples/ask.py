"""Asks the model and shows its answer while it is written: `python ask.py QUESTION`. Needs a language model."""

import sys

from viiwork import Client, ViiworkError


def main(question: str) -> None:
    with Client() as client:
        for piece in client.ask(question, max_output_tokens=200):
            print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python ask.py QUESTION")
    try:
        main(sys.argv[1])
    except ViiworkError as error:
        sys.exit(f"{error.code}: {error}")
