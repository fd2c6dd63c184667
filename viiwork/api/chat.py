"""The turns of a chat and the tools that it may use, as clients send them: those of the OpenAI API."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict

from viiwork.api.bodies import wrong
from viiwork.work import Message

MAX_TOOLS = 128
MAX_TOOL_BYTES = 65_536
MAX_ARGUMENTS = 262_144
ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
CallId = Annotated[str, Field(min_length=1, max_length=256)]
MODES = ("none", "auto", "required")
NAMING = '{"type": "function", "function": {"name": …}}'


class CalledFunction(TypedDict):
    """What a model called, and with what: JSON as a string."""

    name: ToolName
    arguments: Annotated[str, Field(max_length=MAX_ARGUMENTS)]


@with_config(ConfigDict(extra="allow"))  # they come from engines, which put fields of their own beside these
class ToolCall(TypedDict):
    """A call that an assistant's turn made."""

    id: CallId
    type: NotRequired[Literal["function"]]
    function: CalledFunction


@with_config(ConfigDict(extra="forbid"))
class Function(TypedDict):
    """What a model may call; `parameters` is a JSON schema."""

    name: ToolName
    description: NotRequired[Annotated[str, Field(max_length=8192)] | None]
    parameters: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]


@with_config(ConfigDict(extra="forbid"))
class Tool(TypedDict):
    """One tool that a chat may use."""

    type: Literal["function"]
    function: Function


class MessageBody(Message):
    """One turn of a chat; a wire message already, so that it need not be copied."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=256)] | None = None
    tool_calls: Annotated[tuple[ToolCall, ...], Field(min_length=1, max_length=MAX_TOOLS)] | None = None  # type: ignore[assignment]  # a TypedDict is a dict
    tool_call_id: CallId | None = None

    @model_validator(mode="before")
    @classmethod
    def _silent(cls, given: object) -> object:
        """An assistant that calls tools need not say anything."""
        if isinstance(given, dict) and given.get("tool_calls") and given.get("content") is None:
            return given | {"content": ""}
        return given

    @model_validator(mode="after")
    def _in_its_role(self) -> Self:
        if self.tool_calls is not None and self.role != "assistant":
            raise wrong("tool_calls", "only an assistant's turn has tool calls")
        if self.tool_call_id is None and self.role == "tool":
            raise wrong("tool_call_id", "a tool's turn must say which call it answers")
        if self.tool_call_id is not None and self.role != "tool":
            raise wrong("tool_call_id", "only a tool's turn answers a call")
        return self


def _bounded(tool: Tool) -> Tool:
    if too_large(tool, MAX_TOOL_BYTES):
        raise wrong("function", f"must be JSON of at most {MAX_TOOL_BYTES:,} bytes")
    return tool


def too_large(value: object, most_bytes: int) -> bool:
    """Whether a piece of JSON is over a bound, or holds what JSON cannot, such as NaN."""
    try:
        return len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode()) > most_bytes
    except ValueError:
        return True


Tools = Annotated[tuple[Annotated[Tool, AfterValidator(_bounded)], ...], Field(max_length=MAX_TOOLS)]


def _mode_or_name(choice: object) -> object:
    if choice is None or isinstance(choice, str) or (isinstance(choice, dict) and _named(choice)):
        return choice
    raise wrong("", f"must be one of {', '.join(MODES)}, or {NAMING}")


ToolChoice = Annotated[str | dict[str, Any], BeforeValidator(_mode_or_name)]


def check_choice(choice: str | dict[str, Any], tools: Iterable[Tool]) -> None:
    """Raises what `wrong` makes unless `tool_choice` is a mode, or names one of the tools."""
    names = [tool["function"]["name"] for tool in tools]
    if not names:
        raise wrong("tool_choice", "there are no tools to choose from")
    if isinstance(choice, dict) and _named(choice) not in names:
        raise wrong("tool_choice.function.name", "there is no tool of this name")
    if isinstance(choice, str) and choice not in MODES:
        raise wrong("tool_choice", f"must be one of {', '.join(MODES)}, or {NAMING}")


def _named(choice: dict[str, Any]) -> str:
    """The function that a choice names; empty when it is not as the OpenAI API has it."""
    function = choice.get("function")
    if choice.get("type") != "function" or len(choice) != 2 or not isinstance(function, dict) or len(function) != 1:
        return ""
    name = function.get("name")
    return name if isinstance(name, str) else ""
