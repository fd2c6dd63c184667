"""What an answer must look like, as clients say it: `response_format` of the OpenAI API, or a regex, or a choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from viiwork.api.bodies import Body, wrong
from viiwork.documents.shapes import check_shape
from viiwork.errors import UsageError
from viiwork.work import Shape

MAX_CHOICES = 256
SCHEMA = "response_format.json_schema.schema"
Regex = Annotated[str, Field(min_length=1, max_length=4096)]
Choice = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...], Field(min_length=1, max_length=MAX_CHOICES)
]


class JsonSchemaBody(Body):
    """`response_format.json_schema`; engines go by the schema alone."""

    name: Annotated[str, Field(max_length=64)] = ""
    description: Annotated[str, Field(max_length=8192)] | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormatBody(Body):
    """`response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaBody | None = None

    @model_validator(mode="after")
    def _of_its_type(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise wrong("json_schema", "this field is required")
        if self.type != "json_schema" and self.json_schema is not None:
            raise wrong("json_schema", f"has no place beside the type {self.type}")
        return self


def shape_of(form: ResponseFormatBody | None, regex: str | None, choice: Sequence[str] | None) -> Shape | None:
    """The shape that was asked for, if any. Raises what `wrong` makes when there are two."""
    shaped = form if form is not None and form.type != "text" else None
    asked = {"response_format": shaped, "regex": regex, "choice": choice}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise wrong(given[1], f"has no place beside {given[0]}; an answer has one shape")
    if shaped is not None and shaped.json_schema is not None:
        return Shape(json_schema=shaped.json_schema.schema_)
    if shaped is not None:
        return Shape(json_object=True)
    if regex is not None:
        return Shape(regex=regex)
    return Shape(choice=tuple(choice)) if choice is not None else None


def checked_shape(form: ResponseFormatBody | None, regex: str | None, choice: Sequence[str] | None) -> Shape | None:
    """The same, once it is known that it can be held to: what is no schema or no regex is refused where it stands."""
    shape = shape_of(form, regex, choice)
    try:
        if shape is not None:
            check_shape(shape)  # what it compiles of the schema or regex is kept: the lines of a file mostly share one
    except UsageError as error:
        head, dot, rest = (error.param or "json_schema").partition(".")
        raise wrong((SCHEMA if head == "json_schema" else head) + dot + rest, str(error).rstrip(".")) from error
    return shape
