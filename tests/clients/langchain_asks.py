"""LangChain against the service, as its documents have it for any server: `langchain_asks.py URL MODEL` prints JSON."""

from __future__ import annotations

import json
import sys

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import NotFoundError

URL, MODEL = sys.argv[1:3]
ASKED = "What colour is the sky on a clear day?"


@tool
def look_up(day: str) -> str:
    """The weather of a day."""
    return day


def main() -> None:
    chat = ChatOpenAI(model=MODEL, base_url=URL, api_key="none", temperature=0, max_tokens=12, stream_usage=True)
    whole = chat.invoke(ASKED)
    pieces = list(chat.stream(ASKED))
    called = chat.bind_tools([look_up], tool_choice="look_up").invoke("Look it up.")
    embeddings = OpenAIEmbeddings(model=MODEL, base_url=URL, api_key="none", check_embedding_ctx_length=False)
    try:
        ChatOpenAI(model="nobody", base_url=URL, api_key="none", max_retries=0).invoke(ASKED)
        refused = ""
    except NotFoundError as error:
        refused = str(error.code)
    told = {
        "whole": whole.content,
        "usage": whole.usage_metadata,
        "finish": whole.response_metadata["finish_reason"],
        "streamed": "".join(str(piece.content) for piece in pieces),
        "pieces": sum(bool(piece.content) for piece in pieces),
        "streamed_usage": next((piece.usage_metadata for piece in pieces if piece.usage_metadata), None),
        "called": [call["name"] for call in called.tool_calls],
        "vectors": [len(vector) for vector in embeddings.embed_documents(["one", "two"])],
        "refused": refused,
    }
    print(json.dumps(told))


main()
