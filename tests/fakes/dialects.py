"""How each kind of server differs: its words for shapes, its errors, its metrics. From their sources and recordings.

vLLM: recorded from 0.32.0 (CPU). llama.cpp: tools/server of ggml-org/llama.cpp (2026). TGI: router/src of
huggingface/text-generation-inference 3.3. MLC-LLM: python/mlc_llm/serve of mlc-ai/mlc-llm (2025).
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.words import of_regex, of_schema

Body = dict[str, Any]
Said = tuple[int, Body]
"""A status, and what stands in the body."""
Writer = Callable[[random.Random], str]
"""Writes a text of the shape that was asked for."""
OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}}


class Dialect:
    """OpenAI's own, which is what all of them have in common."""

    name = "openai"
    loading = "503"
    """While the model loads: `503`, `refused` (nothing listens yet) or `silent` (it listens and says nothing)."""
    key_env = "OPENAI_API_KEY"
    health = True
    knows_its_model = True
    counts_output = True
    """Refuses output that does not fit, rather than to write less."""
    embeds = False
    tells = ("", "", "")
    """The page that tells its version, under which name, and what."""
    sees_who_leaves = True
    """When it was to answer whole; in a stream each of them does."""

    def error(self, status: int, message: str, kind: str = "invalid_request_error") -> Said:
        return status, {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def unknown_model(self, model: str, alias: str) -> Said:
        body = {"message": f"The model `{model}` does not exist", "type": "invalid_request_error", "param": None}
        return 404, {"error": body | {"code": "model_not_found"}}

    def too_long(self, prompt: int, output: int, context: int) -> Said:
        text = (
            f"This model's maximum context length is {context} tokens. However, you requested {prompt + output} tokens"
        )
        body = {"message": text, "type": "invalid_request_error", "param": "messages"}
        return 400, {"error": body | {"code": "context_length_exceeded"}}

    def bad_json(self) -> Said:
        return self.error(400, "We could not parse the JSON body of your request.")

    def wrong_key(self) -> Said:
        return self.error(401, "Incorrect API key provided.")

    def no_embeddings(self) -> Said:
        return self.error(404, "Not Found")

    def broken(self, message: str) -> Body:
        """What stands in a stream that has already begun with 200."""
        return self.error(500, message, "server_error")[1]

    def key_needed(self, path: str) -> bool:
        return path.startswith("/v1/")

    def writer(self, body: Body, endpoint: str) -> Writer | None:
        """Whoever writes the shape that this body asks for in words of this dialect; other words are not heard."""
        return _openai_format(body) if endpoint == "chat" else None

    def metrics(self, now: Load) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Load:
    """What a page of metrics tells."""

    alias: str
    running: int
    waiting: int
    slots: int
    preemptions: int
    prompt_tokens: int
    output_tokens: int


class Vllm(Dialect):
    name = "vllm"
    tells = ("/version", "version", "0.32.0")
    loading = "refused"
    key_env = "VLLM_API_KEY"

    def error(self, status: int, message: str, kind: str = "BadRequestError") -> Said:
        return status, {"error": {"message": message, "type": kind, "param": None, "code": status}}

    def unknown_model(self, model: str, alias: str) -> Said:
        text = f"The model `{model}` does not exist. Valid aliases: {alias}."
        return 404, {"error": {"message": text, "type": "NotFoundError", "param": "model", "code": 404}}

    def too_long(self, prompt: int, output: int, context: int) -> Said:
        text = (
            f"This model's maximum context length is {context} tokens. However, you requested {output} output tokens "
            f"and your prompt contains at least {prompt} input tokens. (parameter=input_tokens, value={prompt})"
        )
        return 400, {"error": {"message": text, "type": "BadRequestError", "param": "input_tokens", "code": 400}}

    def wrong_key(self) -> Said:
        return 401, {"error": "Unauthorized"}

    def no_embeddings(self) -> Said:
        return 404, {"detail": "Not Found"}

    def broken(self, message: str) -> Body:
        return self.error(500, message, "InternalServerError")[1]

    def writer(self, body: Body, endpoint: str) -> Writer | None:
        """`structured_outputs`, or OpenAI's words; `guided_json` and its like are not heard since 0.12."""
        said = body.get("structured_outputs") or {}
        if "regex" in said:
            return lambda chance: of_regex(said["regex"], chance)
        if "choice" in said:
            return lambda chance: chance.choice(said["choice"])
        return _schema(said["json"]) if "json" in said else _openai_format(body)

    def metrics(self, now: Load) -> str:
        labels = f'{{engine="0",model_name="{now.alias}"}}'
        rows = {
            "num_requests_running": now.running,
            "num_requests_waiting": now.waiting,
            "kv_cache_usage_perc": now.running / now.slots,
            "num_preemptions_total": now.preemptions,
            "prompt_tokens_total": now.prompt_tokens,
            "generation_tokens_total": now.output_tokens,
        }
        return "".join(f"vllm:{name}{labels} {value:.6g}\n" for name, value in rows.items())


class LlamaCpp(Dialect):
    name = "llama.cpp"
    tells = ("/props", "build_info", "b11434-abcdef12")
    sees_who_leaves = False
    key_env = "LLAMA_API_KEY"
    knows_its_model = False
    counts_output = False

    def error(self, status: int, message: str, kind: str = "invalid_request_error") -> Said:
        return status, {"error": {"code": status, "message": message, "type": kind}}

    def too_long(self, prompt: int, output: int, context: int) -> Said:
        text = f"request ({prompt} tokens) exceeds the available context size ({context} tokens), try increasing it"
        body = {"code": 400, "message": text, "type": "exceed_context_size_error"}
        return 400, {"error": body | {"n_prompt_tokens": prompt, "n_ctx": context}}

    def wrong_key(self) -> Said:
        return self.error(401, "Invalid API Key", "authentication_error")

    def no_embeddings(self) -> Said:
        text = "This server does not support embeddings. Start it with `--embeddings`"
        return self.error(501, text, "not_supported_error")

    def key_needed(self, path: str) -> bool:
        return path not in ("/health", "/v1/health", "/models", "/v1/models")

    def writer(self, body: Body, endpoint: str) -> Writer | None:
        if "grammar" in body:
            literals = [json.loads(found) for found in re.findall(r'"(?:\\.|[^"\\])*"', body["grammar"])]
            return lambda chance: chance.choice(literals)
        if endpoint == "completion":
            return _schema(body["json_schema"]) if "json_schema" in body else None
        return _openai_format(body)

    def metrics(self, now: Load) -> str:
        rows = {
            "prompt_tokens_total": now.prompt_tokens,
            "tokens_predicted_total": now.output_tokens,
            "requests_processing": now.running,
            "requests_deferred": now.waiting,
        }
        return "".join(f"llamacpp:{name} {value}\n" for name, value in rows.items())


class Tgi(Dialect):
    name = "tgi"
    tells = ("/info", "version", "3.3.6")
    loading = "refused"
    key_env = "API_KEY"
    knows_its_model = False

    def error(self, status: int, message: str, kind: str = "validation") -> Said:
        return status, {"error": message, "error_type": kind}

    def too_long(self, prompt: int, output: int, context: int) -> Said:
        text = f"`inputs` tokens + `max_new_tokens` must be <= {context}. Given: {prompt} `inputs` tokens and {output} "
        return self.error(422, f"Input validation error: {text}`max_new_tokens`")

    def bad_json(self) -> Said:
        return self.error(422, "Failed to parse the request body as JSON")

    def broken(self, message: str) -> Body:
        return self.error(500, f"Request failed during generation: {message}", "generation")[1]

    def writer(self, body: Body, endpoint: str) -> Writer | None:
        said = body.get("response_format") or {}
        if endpoint != "chat":
            return None
        if said.get("type") == "regex":
            return lambda chance: of_regex(said["value"], chance)
        if said.get("type") in ("json", "json_object"):
            return _schema(said["value"])
        return _schema(said["value"]["schema"]) if said.get("type") == "json_schema" else None

    def metrics(self, now: Load) -> str:
        return f"tgi_batch_current_size {now.running}\ntgi_queue_size {now.waiting}\n"


class Mlc(Dialect):
    name = "mlc"
    loading = "refused"
    key_env = ""
    health = False
    counts_output = False

    def error(self, status: int, message: str, kind: str = "") -> Said:
        return status, {"object": "error", "message": message, "code": None}

    def unknown_model(self, model: str, alias: str) -> Said:
        return self.error(400, f'The requested model "{model}" is not served.')

    def too_long(self, prompt: int, output: int, context: int) -> Said:
        text = f"Request prompt has {prompt} tokens in total, larger than the model input length limit {context}."
        return self.error(400, text)

    def writer(self, body: Body, endpoint: str) -> Writer | None:
        """The schema is a string."""
        said = body.get("response_format") or {}
        if said.get("type") != "json_object":
            return None
        return _schema(json.loads(said["schema"])) if "schema" in said else _schema(OBJECT)


def _schema(schema: Body) -> Writer:
    return lambda chance: of_schema(
        schema if schema.get("properties") or schema != {"type": "object"} else OBJECT, chance
    )


def _openai_format(body: Body) -> Writer | None:
    said = body.get("response_format") or {}
    if said.get("type") == "json_schema" and "schema" in said.get("json_schema", {}):
        return _schema(said["json_schema"]["schema"])
    return _schema(OBJECT) if said.get("type") == "json_object" else None


DIALECTS = {made.name: made for made in (Dialect(), Vllm(), LlamaCpp(), Tgi(), Mlc())}
