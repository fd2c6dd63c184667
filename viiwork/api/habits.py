"""What a field that is not ours probably means: words of other APIs, and slips of the pen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import BaseModel

LONGEST = 64
"""Characters of a name that is compared with ours: what is longer is no slip, and comparing takes its square."""
ALIKE = 0.8
OURS = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "max_new_tokens": "max_output_tokens",
    "n_predict": "max_output_tokens",
    "num_predict": "max_output_tokens",
    "top_logprobs": "logprobs",
    "stop_sequences": "stop",
    "functions": "tools",
    "function_call": "tool_choice",
    "json_schema": "response_format",
    "guided_json": "response_format",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "choices": "choice",
    "text": "input",
    "texts": "input",
    "inputs": "input",
    "conversation": "messages",
    "id": "custom_id",
    "user": "metadata",
    "timeout": "timeout_s",
    "deadline": "deadline_s",
}
"""Our word for a field of the OpenAI API, of vLLM, llama.cpp or Ollama."""
IN_OTHER_WORDS = {
    "system": ("messages", "a message whose role is system says it"),
    "n": ("messages", "each job has one answer; send it as several jobs"),
    **dict.fromkeys(
        ("body", "method", "url"),
        (
            "messages",
            "what stands in the body of OpenAI's Batch API stands beside custom_id here, without method and url",
        ),
    ),
}
"""What to write where no field of ours is meant, and the field by which a body is one that takes this."""
OF_THE_FILE = ("lane", "priority", "deadline", "deadline_s", "keep_s", "callback_url")
"""Said once, of all lines of a file of jobs."""
MISTAKEN = {
    ("int_type", "logprobs"): "must be a number, 0 to 20: how many alternatives each token comes with",
    ("string_type", "content"): "must be a string: the text itself, not a list of parts",
}
"""By pydantic's type of error and the field: how other APIs have fields that bear the same name."""


def instead(name: str, body: type[BaseModel] | None) -> str:
    """What is meant by a field that the body does not have; empty where nobody can tell."""
    if body is None:
        return ""
    known = body.model_fields
    if name in OF_THE_FILE and "messages" in known and "lane" not in known:
        return f"it is the whole file's: {_flag(name)}"
    if (ours := OURS.get(name)) in known:
        return f"ours is {ours}"
    asks, words = IN_OTHER_WORDS.get(name, ("", ""))
    if asks in known:
        return words
    near = get_close_matches(name, known, n=1, cutoff=ALIKE) if len(name) <= LONGEST else []
    return f"perhaps {near[0]} is meant" if near else ""


def body_at(body: type[BaseModel] | None, place: Sequence[object]) -> type[BaseModel] | None:
    """The body that stands at this place of another; None where there is none, or it cannot be told."""
    for part in place:
        field = body.model_fields.get(str(part)) if body is not None else None
        found = field.annotation if field is not None else None
        body = found if isinstance(found, type) and issubclass(found, BaseModel) else None
    return body


def _flag(name: str) -> str:
    query = "deadline_s" if name == "deadline" else name
    said = f"the query parameter {query}"
    return said if name == "keep_s" else f"`viiwork submit --{name.removesuffix('_s').replace('_', '-')}`, or {said}"
