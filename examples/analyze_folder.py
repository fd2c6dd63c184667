"""Summarizes all files of a folder and waits for the end: `python analyze_folder.py FOLDER`.

The service is the one at VIIWORK_URL, else http://127.0.0.1:8400.
"""

import sys

from viiwork import Client, ViiworkError


def main(folder: str) -> int:
    with Client(on_remark=print) as client:
        analysis = client.analyze(folder, task="summarize")
        status = analysis.wait(show=True)
        for row in analysis.results():
            print(f"{row.document}: {row.answer.text if row.answer else row.error.message}")
        print(f"{analysis.id}: {status.counts.succeeded} of {status.counts.total} have a summary")
    return 0 if status.counts.succeeded else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python analyze_folder.py FOLDER")
    try:
        sys.exit(main(sys.argv[1]))
    except ViiworkError as error:
        sys.exit(f"{error.code}: {error}")
