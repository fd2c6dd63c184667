"""What engines' messages mean: a table of patterns, each from an engine's source or a recording. Pure.

Engines quote what they were sent, so nothing of their text is passed on but numbers that a pattern names.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from viiwork.errors import JobRefused

LONGEST_REASON = 20_000
LONGEST_NUMBER = 15
WHICH_MODEL = "See `engine.alias` and what the server serves (/v1/models)."
SHORTEN = "Send a shorter prompt, ask for fewer tokens, or use a model with a longer context."


@dataclass(frozen=True, slots=True)
class Meaning:
    """A pattern of an engine's message, and what it means. `{0}`, `{1}` are the numbers that it found."""

    pattern: str
    code: str
    message: str
    hint: str
    param: str | None = None
    only: tuple[str, ...] = ()
    """Fields of which the request must have one: a prompt that is quoted may speak of grammars too."""
    _compiled: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", re.compile(self.pattern, re.IGNORECASE | re.DOTALL))

    @property
    def numbers(self) -> int:
        """How many its pattern finds."""
        return self._compiled.groups

    def of(self, reason: str, fields: Collection[str]) -> JobRefused | None:
        """What the engine says by this, when it says it about a request with these fields."""
        found = self._compiled.search(reason)
        if found is None or (self.only and not any(name in fields for name in self.only)):
            return None
        if any(len(number) > LONGEST_NUMBER for number in found.groups()):
            return None  # no count of tokens: Python itself refuses to read one of 4,300 digits
        numbers = [f"{int(number):,}" for number in found.groups()]
        return JobRefused(self.message.format(*numbers), hint=self.hint, code=self.code, param=self.param)


MEANINGS = (
    # vLLM 0.32, renderers/params.py and v1/engine
    Meaning(
        r"maximum context length is (\d+) tokens.{0,200}?requested (\d+) output tokens.{0,80}?"
        r"(?:contains|has) (?:at least )?(\d+) (?:input )?tokens",
        "context_length",
        "the prompt has {2} tokens and {1} are asked for; the model takes {0} in all.",
        SHORTEN,
    ),
    Meaning(
        r"maximum context length is (\d+) tokens.{0,80}?contains (?:at least )?(\d+) (?:input )?tokens",
        "context_length",
        "the prompt has {1} tokens or more; the model takes {0}.",
        SHORTEN,
    ),
    Meaning(
        r"maximum context length is (\d+) tokens.{0,80}?contains (\d+) characters",
        "context_length",
        "the prompt has {1} characters; the model takes {0} tokens.",
        SHORTEN,
    ),
    # OpenAI's own words
    Meaning(
        r"maximum context length is (\d+) tokens.{0,60}?requested (\d+) tokens",
        "context_length",
        "the prompt and what is asked for have {1} tokens; the model takes {0} in all.",
        SHORTEN,
    ),
    Meaning(
        r"max(?:_completion)?_tokens=(\d+) cannot be greater than max_model_len=(\d+)",
        "context_length",
        "{0} tokens are asked for; the model takes {1} in all.",
        SHORTEN,
    ),
    # llama.cpp, tools/server/server-context.cpp
    Meaning(
        r"request \((\d+) tokens\) exceeds the available context size \((\d+) tokens\)",
        "context_length",
        "the prompt has {0} tokens; the model takes {1}.",
        SHORTEN,
    ),
    # TGI, router/src/validation.rs
    Meaning(
        r"tokens \+ `max_new_tokens` must be <= (\d+)\. Given: (\d+) `inputs` tokens and (\d+)",
        "context_length",
        "the prompt has {1} tokens and {2} are asked for; the model takes {0} in all.",
        SHORTEN,
    ),
    Meaning(
        r"`inputs` must have less than (\d+) tokens\. Given: (\d+)",
        "context_length",
        "the prompt has {1} tokens; the model takes fewer than {0}.",
        SHORTEN,
    ),
    # MLC-LLM, python/mlc_llm/serve/engine_base.py
    Meaning(
        r"prompt has (\d+) tokens in total, larger than the model input length limit (\d+)",
        "context_length",
        "the prompt has {0} tokens; the model takes {1}.",
        SHORTEN,
    ),
    Meaning(
        r"context[ _](?:length|size|window)|exceed_context_size|too many tokens",
        "context_length",
        "the prompt and what is asked for are longer than the model's context.",
        SHORTEN,
    ),
    # MLC-LLM says so with 400
    Meaning(
        r"requested model .{0,200} is not served",
        "model_not_found",
        "the engine does not know the model under this name.",
        WHICH_MODEL,
        "model",
    ),
    Meaning(
        r"enable-auto-tool-choice|tool-call-parser|requires --jinja|tool parser",
        "unsupported",
        "the engine was started without tools for this model.",
        "Start it with its tool options (`engine.args`), or leave the tools out.",
        "tools",
        only=("tools",),
    ),
    Meaning(
        r"logprobs of (\d+), which is greater than max allowed: (\d+)",
        "invalid_request",
        "{0} alternatives to each token are asked for; the engine gives {1}.",
        "Ask for fewer.",
        "logprobs",
    ),
    Meaning(
        r"top_n_tokens` must be >= 0 and <= (\d+)\. Given: (\d+)",
        "invalid_request",
        "{1} alternatives to each token are asked for; the engine gives {0}.",
        "Ask for fewer.",
        "logprobs",
    ),
    Meaning(
        r"`stop` supports up to (\d+) stop sequences\. Given: (\d+)",
        "invalid_request",
        "there are {1} stop sequences; the engine takes {0}.",
        "Send fewer.",
        "stop",
    ),
    Meaning(
        r"xgrammar|grammar|json.?schema|structured.?output|response_format|regex|guided",
        "unsupported_shape",
        "the engine cannot be held to this shape.",
        "Make the schema or the pattern simpler; engines know a part of both.",
        "shape",
        only=("response_format", "structured_outputs", "grammar", "json_schema"),
    ),
    Meaning(
        r"chat template is no longer allowed|must provide a chat template",
        "unsupported_task",
        "this model has no chat template.",
        "Ask it for a completion, or serve an instruction-tuned model.",
        "messages",
    ),
    Meaning(
        r"chat.?template|conversation roles|roles must alternate|template error",
        "invalid_request",
        "the model's chat template does not take these messages.",
        "Let user and assistant alternate, after at most one system message.",
        "messages",
    ),
)
"""The first that fits. Only what is a number in the engine's text gets into ours."""

OWN_DOING = (
    # llama.cpp b11434, for an answer that was cut off or that its sampler could not hold to the shape; it says so with
    # HTTP 500, or inside a stream that began with 200
    Meaning(
        r"model produced output that does not match the expected [\w-]{1,40} format",
        "invalid_output",
        "the answer does not have the shape that was asked for.",
        "If it was cut off, raise max_output_tokens (--max-tokens); else try other words, or a simpler shape.",
        only=("response_format", "json_schema", "grammar", "tools"),
    ),
)
"""What an engine says as if it had failed, when it was the answer that did."""
