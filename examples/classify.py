"""Sorts files into classes and counts them: `python classify.py FOLDER`."""

import sys
from collections import Counter

from viiwork import Client, Label, ViiworkError

LABELS = [
    Label(name="contract", description="an agreement between parties, with terms and a notice period"),
    Label(name="letter", description="written to a person or a firm"),
    Label(name="invoice", description="asks for money"),
    Label(name="report", description="tells what was measured or found"),
    Label(name="other"),
]


def main(folder: str) -> None:
    with Client() as client:
        analysis = client.analyze(folder, task="classify", labels=LABELS)
        classes = Counter(row.answer.label if row.answer else row.error.code for row in analysis)
    for name, count in classes.most_common():
        print(f"{count:4} {name}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python classify.py FOLDER")
    try:
        main(sys.argv[1])
    except ViiworkError as error:
        sys.exit(f"{error.code}: {error}")
