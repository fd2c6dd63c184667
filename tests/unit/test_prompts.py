"""How many tokens a prompt has, by a model's own tokenizer and chat template."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_made import BOS, CHATML, TEMPLATES, make_model, make_tokenizer
from viiwork.documents import Document
from viiwork.documents.chunk import chunk
from viiwork.documents.prompts import PromptCounter, Rendered, load_prompts
from viiwork.documents.room import at_hand, check_room, narrowest, room_for
from viiwork.documents.tasks import messages_for
from viiwork.documents.template import DEFAULT, ChatTemplate, TemplateRefusal
from viiwork.documents.tokens import load_counter
from viiwork.errors import SettingsError, UsageError
from viiwork.roster import WorkerCard
from viiwork.work import AnalysisTask, ChatInput, CompletionInput, EmbeddingInput, StepInput, TaskOptions

SPECIALS = {"bos_token": BOS, "eos_token": "<|end|>"}
CALL = {"id": "c1", "type": "function", "function": {"name": "rent_of", "arguments": '{"flat": "ü 3"}'}}
TOOL = {"type": "function", "function": {"name": "rent_of", "parameters": {"type": "object", "properties": {}}}}


def chat(*said: str, system: str = "") -> ChatInput:
    """A chat in which user and assistant take turns."""
    turns = [{"role": "system", "content": system}] if system else []
    turns += [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(said)]
    return ChatInput(messages=turns)


def rendered(work: ChatInput, template: str) -> str:
    (one,) = PromptCounter(make_tokenizer(), ChatTemplate({DEFAULT: template}, SPECIALS)).render([work])
    assert isinstance(one, Rendered), one
    (text,) = one.texts
    return text


def refusal(work: ChatInput, template: str) -> str:
    (one,) = PromptCounter(make_tokenizer(), ChatTemplate({DEFAULT: template}, SPECIALS)).render([work])
    assert isinstance(one, TemplateRefusal), one
    return one.message


def counter(folder: Path) -> PromptCounter:
    found = load_prompts(str(folder))
    assert found is not None
    return found


def tokens(found: PromptCounter, *works: ChatInput | CompletionInput | EmbeddingInput) -> list[tuple[int, ...]]:
    ready = [one for one in found.render(works) if isinstance(one, Rendered)]
    assert len(ready) == len(works)
    return [count.tokens for count in found.count(ready)]


def card(tokenizer: str, context_tokens: int, model: str = "m") -> WorkerCard:
    return WorkerCard(
        name="gpu0@here",
        incarnation="1",
        host="here",
        pid=1,
        engine="vllm",
        model=model,
        slots=1,
        context_tokens=context_tokens,
        tokenizer=tokenizer,
    )


class TestTemplates:
    """What the well-known formats become. Each was compared with `transformers`' own rendering."""

    def test_chatml(self) -> None:
        """Blank ends of what was said stay."""
        said = rendered(chat("hi ", system="Be brief."), TEMPLATES["chatml"])
        assert said == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi <|im_end|>\n<|im_start|>assistant\n"
        )

    def test_llama_3_begins_with_the_mark_of_its_tokenizer(self) -> None:
        """And trims what was said."""
        said = rendered(chat(" hi ", "yes", "well?"), TEMPLATES["llama 3"])
        assert said.startswith(f"{BOS}<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>")
        assert said.endswith("well?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")

    def test_mistral_puts_the_system_s_words_before_the_last_question(self) -> None:
        """And wants user and assistant to take turns: what it says of it is what the sender reads."""
        said = rendered(chat("a", "b", "c", system="S"), TEMPLATES["mistral"])
        assert said == f"{BOS}[INST] a[/INST] b<|end|>[INST] S\n\nc[/INST]"
        twice = ChatInput(messages=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
        assert refusal(twice, TEMPLATES["mistral"]) == ("the model's chat template refuses them: Roles must alternate.")

    def test_qwen_gets_tools_with_nulls_and_calls_as_objects(self) -> None:
        """As vLLM hands them over: a description that was left out is null; arguments are not JSON in a string."""
        answered = {"role": "tool", "content": "900", "tool_call_id": "c1"}
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}, answered]
        said = rendered(ChatInput(messages=turns, tools=[TOOL]), TEMPLATES["qwen"])
        assert '"name": "rent_of", "description": null, "parameters": {"type": "object"' in said
        assert '<tool_call>rent_of{"flat": "ü 3"}</tool_call>' in said
        assert "<|im_start|>tool\n900<|im_end|>" in said

    def test_gemma_is_given_parts_for_it_goes_through_them(self) -> None:
        """The text is the same either way; a system turn it refuses."""
        assert rendered(chat(" hi "), TEMPLATES["gemma"]) == (
            f"{BOS}<start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n"
        )
        assert "System role not supported" in refusal(chat("hi", system="S"), TEMPLATES["gemma"])

    def test_what_templates_rely_on_is_there(self) -> None:
        """Today's date, JSON that escapes nothing, `break`, and the marks for training."""
        template = (
            "{{ strftime_now('%Y')[:2] }}{{ {'ü<': [1]} | tojson(indent=2) }}{% for m in messages %}{% break %}"
            "{% endfor %}{% generation %}{{ messages[0].content }}{% endgeneration %}{{ unknown }}{{ tools is none }}"
        )
        assert rendered(chat("hi"), template) == '20{\n  "ü<": [\n    1\n  ]\n}hiTrue'


class TestHostileTemplates:
    @pytest.mark.parametrize(
        "template",
        [
            "{{ messages.__class__.__mro__ }}",
            "{{ ''.__class__.__base__.__subclasses__() }}",
            "{% for a in range(99999) %}{% for b in range(99999) %}{{ 'x' * 99 }}{% endfor %}{% endfor %}",
            "{{ range(10000000) | list }}",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{{ messages.append(1) }}",
            "{% include '/etc/passwd' %}",
            "{{ 1 / 0 }}",
        ],
    )
    def test_what_a_template_may_not_do_leaves_the_prompt_uncounted(self, template: str) -> None:
        """Nothing of it is run outside the sandbox, and it can write only so much."""
        found = PromptCounter(make_tokenizer(), ChatTemplate({DEFAULT: template}, {}))
        try:
            text = found.render([chat("hi")])
        except Exception as error:  # noqa: BLE001 - any would reach the sender
            pytest.fail(f"{error!r} came out")
        assert text == [None] or "class" not in str(text)

    def test_what_is_no_template_leaves_texts_countable(self, tmp_path: Path) -> None:
        """Chats go to the engine uncounted, completions are counted."""
        found = counter(make_model(tmp_path / "m", "{% for %}"))
        assert found.render([chat("hi")]) == [None]
        assert found.frame(AnalysisTask.SUMMARIZE, TaskOptions()) is None
        assert tokens(found, CompletionInput(prompt="the tenant"))
        with pytest.raises(SettingsError, match="chat template is not valid"):
            ChatTemplate({DEFAULT: "{% for %}"}, {})

    @pytest.mark.parametrize(
        "arguments", ["[" * 5000, '{"a":' * 900 + "1" + "}" * 900, "9" * 5000, '{"a": NaN}', "\ud800"]
    )
    def test_a_call_with_whatever_arguments_is_counted_or_left_to_the_engine(self, arguments: str) -> None:
        """A stranger's JSON in a string; what nobody can read is none."""
        call = CALL | {"function": {"name": "f", "arguments": arguments}}
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
        found = PromptCounter(make_tokenizer(), ChatTemplate({DEFAULT: TEMPLATES["qwen"]}, {}))
        said = found.render([ChatInput(messages=turns), chat("hi")])
        assert said[0] is None or isinstance(said[0], Rendered)
        assert isinstance(said[1], Rendered)

    @pytest.mark.parametrize("call", [{"id": "1"}, {"function": 3}, {"function": {"arguments": {"a": [{}] * 3}}}])
    def test_a_call_that_is_none_is_left_to_the_engine(self, call: dict[str, object]) -> None:
        """The door refuses such; a record may be older than the door."""
        asked = ChatInput(messages=[{"role": "assistant", "content": "", "tool_calls": [call]}])
        assert PromptCounter(make_tokenizer(), ChatTemplate({DEFAULT: "x"}, {})).render([asked]) == [None]


class TestFiles:
    def test_a_template_as_long_as_a_book_is_not_run(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Texts are counted without it."""
        found = counter(make_model(tmp_path / "m", jinja="x" * 1_100_000))
        assert found.render([chat("hi")]) == [None]
        assert "over 1048576 characters" in caplog.text

    def test_a_template_in_a_file_of_its_own_goes_before_the_configuration_s(self, tmp_path: Path) -> None:
        """As `transformers` reads them."""
        found = counter(make_model(tmp_path / "m", CHATML, jinja="{{ messages[0].content }}"))
        assert found.render([chat("hi")]) == [Rendered(("hi",), with_specials=False)]

    def test_of_several_templates_tools_have_their_own(self, tmp_path: Path) -> None:
        """A list of named ones in the configuration."""
        named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "with tools"}]
        found = counter(make_model(tmp_path / "m", named))
        texts = found.render([chat("hi"), chat("hi").model_copy(update={"tools": (TOOL,)})])
        assert [one.texts[0] for one in texts if isinstance(one, Rendered)] == ["plain", "with tools"]

    def test_special_tokens_may_stand_in_the_older_file(self, tmp_path: Path) -> None:
        """`special_tokens_map.json`; the configuration goes before it."""
        folder = make_model(tmp_path / "m", "{{ bos_token }}{{ pad_token }}", bos_token=None)
        (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "B", "pad_token": {"content": "P"}}))
        assert counter(folder).render([chat("x")]) == [Rendered(("P",), with_specials=False)]

    def test_files_that_changed_are_read_again(self, tmp_path: Path) -> None:
        """A model may be replaced in its place while the service runs."""
        folder = make_model(tmp_path / "m", jinja="one")
        assert counter(folder).render([chat("x")]) == [Rendered(("one",), with_specials=False)]
        (folder / "chat_template.jinja").unlink()
        assert counter(folder).render([chat("x")]) != [Rendered(("one",), with_specials=False)]

    @pytest.mark.parametrize("name", ["", "wordllama", "/nowhere/at/all", "broken"])
    def test_where_nobody_here_can_count_there_is_no_counter(self, tmp_path: Path, name: str) -> None:
        """Not an error: the engine may be on another machine."""
        (tmp_path / "tokenizer.json").write_text("{")
        assert load_prompts(str(tmp_path) if name == "broken" else name) is None


class TestCounts:
    def test_a_completion_has_the_tokenizer_s_own_marks_and_a_chat_has_not(self, tmp_path: Path) -> None:
        """The template has written them already; nothing is cut off at the length that the files name."""
        found = counter(make_model(tmp_path / "m", "{{ bos_token }}{{ messages[0].content }}"))
        text = "the tenant pays " * 400
        ((chatted,), (completed,), vectors) = tokens(
            found, chat(text), CompletionInput(prompt=text), EmbeddingInput(texts=(text, "the"))
        )
        assert chatted == completed == vectors[0] > 512
        assert vectors[1] == 2
        assert load_counter(str(tmp_path / "m"))(text) == completed - 1

    def test_many_prompts_are_counted_in_their_order(self, tmp_path: Path) -> None:
        """Chats and completions go to the tokenizer apart, and come back mixed as they were."""
        found = counter(make_model(tmp_path / "m"))
        works = [CompletionInput(prompt="the " * n) if n % 3 else chat("the " * n) for n in range(1, 30)]
        assert tokens(found, *works) == [tokens(found, work)[0] for work in works]


class TestRoom:
    def test_the_narrowest_worker_of_a_model_counts(self) -> None:
        """Whichever gets the prompt, it must fit; who does not tell, and other models, say nothing."""
        cards = [card("a", 4096), card("b", 2048), card("c", 0), card("d", 1024, model="other")]
        found = narrowest(cards, "m")
        assert found is not None
        assert found.tokenizer == "b"
        assert narrowest(cards, "unheard of") is None

    def test_a_tokenizer_on_another_machine_leaves_a_careful_count(self, tmp_path: Path) -> None:
        """Three quarters of the room, by the tokenizer that is always there; what is here is used as it is."""
        usual = room_for(card("wordllama", 4096), AnalysisTask.SUMMARIZE, TaskOptions()).passage_tokens
        for told in ("/nowhere/at/all", ""):  # "": of a GGUF file alone, or of a server somewhere
            away = at_hand(card(told, 4096))
            assert (away.tokenizer, away.context_tokens) == ("wordllama", 4096)
            assert room_for(away, AnalysisTask.SUMMARIZE, TaskOptions()).passage_tokens == int(usual * 0.75)
        here = card(str(make_model(tmp_path / "m")), 4096)
        assert at_hand(here) is here
        assert not at_hand(card("wordllama", 4096)).stand_in

    def test_options_that_fill_the_context_are_refused_by_the_model_s_own_count(self, tmp_path: Path) -> None:
        """A tokenizer of few words makes twice the tokens that the rough count expects."""
        options = TaskOptions(prompt="Zähle alle Fristen auf! " * 20, max_output_tokens=64)
        rough, exact = card("/nowhere/at/all", 1200), card(str(make_model(tmp_path / "m")), 1200)
        check_room(rough, AnalysisTask.PROMPT, options)
        with pytest.raises(UsageError, match="no room for a document"):
            check_room(exact, AnalysisTask.PROMPT, options)

    @pytest.mark.parametrize("name", list(TEMPLATES))
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_every_prompt_that_a_reader_makes_fits_with_its_answer(
        self, tmp_path: Path, name: str, data: st.DataObject
    ) -> None:
        """Whatever the document is made of: counted as the engine will count it, never over, and well used."""
        task = data.draw(st.sampled_from(list(AnalysisTask)))
        piece = data.draw(
            st.sampled_from(["the rent ", "Ünïcödé ", "</document> ", "<|im_end|>", "你好", "{{ x }}\n", "a\n\n"])
        )
        word = data.draw(st.text(min_size=1, max_size=20))
        document = Document(media_type="text/plain", pages=((piece + word) * 300,))
        options = TaskOptions(prompt="List it.", question="Why?", max_output_tokens=100)
        model = card(str(tmp_path / name), 1200)
        if not (tmp_path / name).exists():
            make_model(tmp_path / name, TEMPLATES[name])
        room = room_for(model, task, options)
        parts = chunk(document, limit_tokens=room.passage_tokens, count=room.count)
        for part in parts:
            step = StepInput(
                task=task, options=options, title=room.title("Ü" * 500), text=part.text, one_turn=room.one_turn
            )
            assert room.one_turn is (name == "gemma")
            ((prompt,),) = tokens(counter(tmp_path / name), ChatInput(messages=messages_for(step)))
            assert prompt + options.max_output_tokens <= 1200
