"""A model's own chat template: what it makes of messages is what its engine reads. The seam to Jinja.

Templates come with models, so they run in Jinja's sandbox, and may write and take only so much. What a sandbox does not
bound, a process of their own does: see `templating`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from viiwork.errors import SettingsError, UsageError

RENDER_S = 5.0
GROWTH = 8
SPARE_CHARACTERS = 1_000_000
"""What is written may be so many times as long as what was given, and so much longer."""
DEFAULT, FOR_TOOLS = "default", "tool_use"


class TemplateRefusal(UsageError):
    """Raised when a template itself says that it takes no such messages; so would the engine."""

    code = "chat_template"


Written = str | TemplateRefusal | None
"""A prompt; what the template says of it instead; or None where it cannot be had."""


class ChatTemplate:
    """The templates of one model by name; `default` must be there, `tool_use` goes before it where there are tools."""

    def __init__(self, sources: Mapping[str, str], special_tokens: Mapping[str, Any]) -> None:
        """Raises SettingsError for what is no template."""
        environment = _environment()
        try:
            self._templates = {name: _compiled(environment, source) for name, source in sources.items()}
        except Exception as error:  # Python's own compiler refuses 300 nested blocks: whatever it may be
            raise SettingsError("the model's chat template is not valid.", hint="Get its files again.") from error
        self._specials = dict(special_tokens)

    def write(self, chats: Sequence[str]) -> list[Written]:
        """Each chat, given as JSON, as a prompt; None where that cannot be had."""
        return [self._written(chat) for chat in chats]

    def _written(self, chat: str) -> Written:
        try:
            text = self.render(**json.loads(chat))
            text.encode()  # half a character, which a template may write, is nothing that can be counted
        except TemplateRefusal as refusal:
            return refusal
        except Exception:  # noqa: BLE001 - a program that nobody here has written
            return None
        return text

    def render(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt, up to where the answer begins. Raises TemplateRefusal; SettingsError when it cannot be had."""
        named = FOR_TOOLS if tools and FOR_TOOLS in self._templates else DEFAULT
        template, in_parts = self._templates[named]
        turns = [{**turn, "content": _content(turn, in_parts)} for turn in messages]
        room = GROWTH * sum(len(turn["content"]) for turn in messages) + SPARE_CHARACTERS
        given: dict[str, Any] = {
            "messages": turns,
            "tools": list(tools) or None,
            "documents": None,
            "add_generation_prompt": True,
        }
        try:
            return "".join(_bounded(template.generate(self._specials | given), room))
        except _Raised as error:
            said = " ".join(str(error.message).split())[:200].rstrip(".")
            raise TemplateRefusal(f"the model's chat template refuses them: {said}.", param="messages") from error
        except Exception as error:  # whatever a template may do wrong: it is a program
            raise SettingsError("the model's chat template cannot be used here.") from error


class _Raised(TemplateError):
    """What `raise_exception` in a template raises."""


class _Generation(Extension):
    """`{% generation %}` marks an assistant's words for training; here it writes what is in it."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    """As `transformers` sets it up, for which templates are written."""
    # not optimized: `{% set x = 'a' * 1000000000 %}` would be worked out while it is compiled
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols], optimized=False
    )
    made.filters["tojson"] = _to_json
    made.globals |= {"raise_exception": _raise, "strftime_now": _now}
    return made


def _compiled(environment: ImmutableSandboxedEnvironment, source: str) -> tuple[Template, bool]:
    return environment.from_string(source), _wants_parts(environment.parse(source))


def _wants_parts(tree: nodes.Template) -> bool:
    """Whether the template goes through a message's content part by part: engines then give it a list."""
    return any(_is_content(loop.iter) for loop in tree.find_all(nodes.For))


def _is_content(value: nodes.Node) -> bool:
    if isinstance(value, nodes.Filter) and value.node is not None:
        return _is_content(value.node)
    if isinstance(value, nodes.Getattr):
        return value.attr == "content"
    if isinstance(value, nodes.Getitem):
        return isinstance(value.arg, nodes.Const) and value.arg.value == "content"
    return isinstance(value, nodes.Name) and value.name == "content"


def _content(turn: Mapping[str, Any], in_parts: bool) -> str | list[dict[str, str]]:
    text: str = turn["content"]
    if not in_parts or turn["role"] == "tool":
        return text
    return [{"type": "text", "text": text}]


def _bounded(pieces: Iterator[str], room: int) -> Iterator[str]:
    until = time.monotonic() + RENDER_S
    for piece in pieces:
        room -= len(piece)
        if room < 0 or time.monotonic() > until:
            raise OverflowError("the template writes too much")
        yield piece


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: object) -> NoReturn:
    raise _Raised(str(message))


def _now(form: str) -> str:
    return datetime.now().strftime(form)  # by the local clock, as the engine does
