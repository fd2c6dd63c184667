"""The turns of a chat as any client of the OpenAI API sends them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from viiwork.api.bodies import wrong
from viiwork.api.chat import MAX_TOOLS, CallId, ToolCall
from viiwork.api.openai.content import ContentBody, FilePart, joined
from viiwork.work import Message

ROLES = {"developer": "system"}
"""What newer clients call the same turn."""


class TurnBody(BaseModel):
    """One turn."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: ContentBody = ""
    name: Annotated[str, Field(max_length=256)] | None = None
    tool_calls: Annotated[tuple[ToolCall, ...], Field(max_length=MAX_TOOLS)] | None = None
    tool_call_id: CallId | None = None

    @model_validator(mode="before")
    @classmethod
    def _modern(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("function_call"):
            raise wrong("function_call", "has become tool_calls")
        return given

    @model_validator(mode="after")
    def _in_its_role(self) -> Self:
        if self.tool_calls and self.role != "assistant":
            raise wrong("tool_calls", "only an assistant's turn has tool calls")
        if self.tool_call_id is None and self.role == "tool":
            raise wrong("tool_call_id", "a tool's turn must say which call it answers")
        if self.tool_call_id is not None and self.role != "tool":
            raise wrong("tool_call_id", "only a tool's turn answers a call")
        if self.files and self.role != "user":
            raise wrong("content", "only a user's turn holds files")
        if not self.content and self.role not in {"assistant", "tool"}:
            raise wrong("content", "must say something")
        return self

    @property
    def files(self) -> tuple[FilePart, ...]:
        """The documents inside it."""
        return () if isinstance(self.content, str) else tuple(p for p in self.content if isinstance(p, FilePart))

    def to_wire(self) -> Message:
        """The turn as engines get it; its files must have become text."""
        said: dict[str, object] = {"role": ROLES.get(self.role, self.role)}
        said["content"] = self.content if isinstance(self.content, str) else joined(self.content)
        if self.name is not None:
            said["name"] = self.name
        if self.tool_calls:
            said["tool_calls"] = tuple(dict(call) for call in self.tool_calls)
        if self.tool_call_id is not None:
            said["tool_call_id"] = self.tool_call_id
        return Message.model_validate(said)
