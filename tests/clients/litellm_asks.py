"""LiteLLM against the service, as a server that speaks OpenAI's API: `litellm_asks.py URL MODEL` prints JSON."""

from __future__ import annotations

import json
import sys

import litellm

URL, MODEL = sys.argv[1:3]
PLACE = {"model": f"openai/{MODEL}", "api_base": URL, "api_key": "none"}
SAID = [{"role": "user", "content": "What colour is the sky on a clear day?"}]
ASKED = {"messages": SAID, "temperature": 0, "max_tokens": 12}


def main() -> None:
    whole = litellm.completion(**PLACE, **ASKED)
    pieces = list(litellm.completion(**PLACE, **ASKED, stream=True, stream_options={"include_usage": True}))
    texts = [piece.choices[0].delta.content or "" for piece in pieces if piece.choices]
    vectors = litellm.embedding(**PLACE, input=["one", "two"])
    try:
        litellm.completion(**PLACE | {"model": "openai/nobody"}, **ASKED, num_retries=0)
        refused = ""
    except litellm.NotFoundError as error:
        refused = type(error).__name__
    told = {
        "whole": whole.choices[0].message.content,
        "usage": {"total_tokens": whole.usage.total_tokens, "output_tokens": whole.usage.completion_tokens},
        "finish": whole.choices[0].finish_reason,
        "streamed": "".join(texts),
        "pieces": sum(map(bool, texts)),
        "vectors": [len(one["embedding"]) for one in vectors.data],
        "refused": refused,
    }
    print(json.dumps(told))


main()
