"""Extracts fields from files, each with the words that give it: `python extract.py FOLDER`. Needs a language model."""

import sys

from pydantic import BaseModel

from viiwork import Client, ViiworkError


class Agreement(BaseModel):
    """What is looked for; a field that a document does not give is None."""

    parties: list[str]
    begins: str | None
    ends: str | None
    monthly_rent: float | None


def main(folder: str) -> None:
    with Client() as client:
        for row in client.analyze(folder, task="extract", schema=Agreement):
            if row.answer is None:
                print(f"{row.document}: {row.error.code}: {row.error.message}")
                continue
            found = Agreement.model_validate(row.answer.value)
            print(f"{row.document}: {found.model_dump_json()}")
            for quote in row.answer.evidence:
                print(f"    {quote.field} page {quote.page}: {quote.quote!r}{' (unsupported)' * quote.unsupported}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python extract.py FOLDER")
    try:
        main(sys.argv[1])
    except ViiworkError as error:
        sys.exit(f"{error.code}: {error}")
