"""A paragraph for a methods section, out of a run's record. Pure; what is not known is not in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from viiwork.bigrun.record import Engine, RunRecord, Tally
from viiwork.bigrun.setup import Setup
from viiwork.power.energy import JOULES_PER_KWH

DOES = {
    "summarize": "summarised",
    "classify": "classified",
    "ask": "searched for the answer to a question",
    "prompt": "worked on by a prompt",
    "extract": "searched for the fields of a JSON schema",
}


def methods(record: RunRecord) -> str:
    """What was done to what, by whom, when, and what it took."""
    sentences = (_what(record), _who(record), _how(record), _failed(record), _drawn(record), _took(record))
    return " ".join(filter(None, sentences))


def _what(record: RunRecord) -> str:
    tally = record.tally
    release = f" {record.version}" if record.version else ""
    done = DOES[record.task.value]
    if asked := len(record.options.questions):
        done = f"searched for the answers to {_many(asked, 'question')}"
    return f"{_subject(tally)} {done} with VIIWork{release}{_days(record)}."


def _subject(tally: Tally) -> str:
    """Which documents, with the verb: those without an answer were not summarised."""
    given, pages = _many(tally.documents, "document"), f" ({_many(tally.pages, 'page')})" if tally.pages else ""
    if not tally.answered:
        return f"None of {given} could be"
    verb = "was" if tally.answered == 1 else "were"
    if tally.answered == tally.documents:
        return f"{given}{pages} {verb}"
    return f"Of {given} {tally.answered:,}{pages} {verb}"


def _who(record: RunRecord) -> str:
    setup, engine = record.setup, record.engine
    exact = [f"revision {setup.revision}"] if setup.revision else []
    exact += [setup.quantization] if setup.quantization else []
    model = setup.model + (f" ({', '.join(exact)})" if exact else "")
    named = f"{engine.engine or 'an engine that is not named'}{f' {engine.version}' if engine.version else ''}"
    said = f"The model was {model}, served by {named}{_cards(engine)}."
    return f"{said} {engine.notice}".strip()


def _cards(engine: Engine) -> str:
    if not engine.cards:
        return f" with {_many(engine.workers, 'worker')}" if engine.workers else ""
    return " on " + " and ".join(f"{count} {name}" for name, count in sorted(engine.cards.items()))


def _how(record: RunRecord) -> str:
    """What was done to get the answers. Only a language model draws tokens and is told which text is data."""
    return " ".join(filter(None, (_cut(record), *(() if record.engine.notice else _asked(record.setup)))))


def _cut(record: RunRecord) -> str:
    tally, engine = record.tally, record.engine
    call = f"one call of a context of {engine.context_tokens:,} tokens" if engine.context_tokens else "one call"
    which = "" if tally.answered == tally.documents else " with an answer"
    if not tally.answered:
        return ""
    if not tally.cut:
        return f"{'The' if tally.answered == 1 else 'Each'} document{which} fitted into {call}."
    parts = tally.parts - (tally.answered - tally.cut)
    did = f"{_many(tally.cut, 'document')}{which} did not fit into {call} and {'was' if tally.cut == 1 else 'were'} cut"
    return f"{did} into {parts:,} parts{' in all' if tally.cut > 1 else ''}, whose answers were put together."


def _asked(setup: Setup) -> Iterator[str]:
    temperature = setup.sampling.get("temperature")
    if temperature is not None:
        yield f"Tokens were chosen at temperature {temperature:g}."
    words = f" (digest of the instructions: {setup.words[:16]})" if setup.words else ""
    yield f"Document text was marked as data{words}."


def _failed(record: RunRecord) -> str:
    tally = record.tally
    missing = tally.documents - tally.answered
    if not missing:
        return "All documents have an answer."
    reasons = ", ".join(f"{count} {code}" for code, count in sorted(tally.failures.items()))
    return f"{_many(missing, 'document')} had no answer ({reasons})."


def _drawn(record: RunRecord) -> str:
    drawn = [part for part in record.parts if part.sample is not None]
    if not drawn:
        return ""
    first = drawn[0]
    if len(drawn) == len(record.parts):
        return f"The documents are a random sample, drawn by seed {first.seed}."
    return f"{_many(len(first.files), 'document')} of them were a random pilot, drawn by seed {first.seed}."


def _took(record: RunRecord) -> str:
    tokens = _tokens(record.tally)
    known = [part.energy_j for part in record.parts if part.energy_j is not None]
    if not known:
        return f"{tokens}."
    least = "at least " if len(known) < len(record.parts) or any(p.energy_unknown_jobs for p in record.parts) else ""
    simulated = "simulated " if any(part.energy_simulated for part in record.parts) else ""
    return f"{tokens}; the {simulated}cards used {least}{sum(known) / JOULES_PER_KWH:.3g} kWh."


def _tokens(tally: Tally) -> str:
    """What all calls came to, and what of it the answers are made of."""
    usage, good = tally.usage, tally.usage_of_answers
    bound = "At least " if tally.partial else ""
    said = f"{bound}{usage.prompt_tokens:,} tokens were read and {usage.output_tokens:,} written"
    said += f" in {_many(tally.calls, 'call')}" if tally.calls else ""
    if usage == good:
        return said
    return (
        f"{said}, those included that came to nothing or were made again: "
        f"the answers took {good.prompt_tokens:,} and {good.output_tokens:,} of them"
    )


def _days(record: RunRecord) -> str:
    moments = [ms for part in record.parts for ms in (part.created_ms, part.finished_ms) if ms]
    if not moments:
        return ""
    first, last = (datetime.fromtimestamp(ms / 1000, UTC).date().isoformat() for ms in (min(moments), max(moments)))
    return f" on {first}" if first == last else f" from {first} to {last}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
