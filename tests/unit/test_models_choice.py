"""Which files of a repository are fetched, and which names are taken from a hub. Pure."""

from __future__ import annotations

import pytest

from viiwork.errors import ModelError, UsageError
from viiwork.models.choice import Wanted, choose
from viiwork.models.listing import HubFile, Listing, checked
from viiwork.models.names import ModelName, parse_name

COMMIT = "1" * 40
DIGEST = "2" * 40


def listing(*paths: str, commit: str = COMMIT) -> Listing:
    """A hub's list of files of a byte each."""
    return Listing("org/name", commit, tuple(HubFile(path, 1, git_sha1=DIGEST) for path in paths))


def chosen(*paths: str, include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), file: str = "") -> list[str]:
    return [taken.path for taken in choose(listing(*paths), Wanted(include, exclude, file)).files]


def test_weights_configuration_tokenizer_template_and_licence_are_taken_and_nothing_else() -> None:
    """No pickles beside safetensors, no code, no pictures, no other formats."""
    needed = [
        "1_Pooling/config.json",
        "LICENSE.txt",
        "additional_chat_templates/tool_use.jinja",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer.model.v3",
    ]
    others = [
        "README.md",
        "consolidated.safetensors",
        "flax_model.msgpack",
        "modeling_x.py",
        "onnx/config.json",
        "onnx/model.safetensors",
        "original/params.json",
        "plot.png",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ]
    assert chosen(*needed, *others) == needed


def test_mistrals_own_layout_is_taken_when_it_is_the_only_one() -> None:
    """`consolidated` weights hold the same once more only beside `model` weights."""
    assert chosen("consolidated.safetensors", "params.json", "tekken.json") == [
        "consolidated.safetensors",
        "params.json",
        "tekken.json",
    ]


def test_pickles_are_refused_unless_they_are_asked_for_by_name() -> None:
    """Loading one runs whatever it says, which is then said again."""
    with pytest.raises(UsageError, match="pickles only"):
        choose(listing("pytorch_model.bin", "config.json"), Wanted())
    choice = choose(listing("pytorch_model.bin", "config.json"), Wanted(include=("*.bin",)))
    assert [file.path for file in choice.files] == ["config.json", "pytorch_model.bin"]
    assert "pickles" in " ".join(choice.remarks)


def test_code_is_not_fetched_even_when_it_is_asked_for() -> None:
    """Neither by its name nor under a glob that fits everything; that it is there is said."""
    with pytest.raises(UsageError, match="code is not fetched"):
        choose(listing("model.safetensors", "modeling.py"), Wanted(include=("*.py",)))
    choice = choose(listing("model.safetensors", "modeling.py", "plot.png"), Wanted(include=("*",)))
    assert [file.path for file in choice.files] == ["model.safetensors", "plot.png"]
    assert "Python code" in " ".join(choice.remarks)


def test_include_adds_and_exclude_takes_away() -> None:
    """By a file's whole path or by its name."""
    paths = ("model.safetensors", "config.json", "docs/card.md", "onnx/model.safetensors")
    assert chosen(*paths, include=("docs/*",)) == ["config.json", "docs/card.md", "model.safetensors"]
    assert chosen(*paths, exclude=("config.*",)) == ["model.safetensors"]
    with pytest.raises(UsageError, match="no file that --include"):
        choose(listing(*paths), Wanted(include=("nothing-*",)))


def test_one_gguf_file_is_taken_and_several_must_be_told_apart() -> None:
    """The message names them with their sizes."""
    paths = ("m.Q4_K_M.gguf", "m.Q8_0.gguf", "config.json")
    assert chosen("m.Q4_K_M.gguf", "config.json") == ["config.json", "m.Q4_K_M.gguf"]
    with pytest.raises(UsageError, match=r"2 GGUF files .*m\.Q4_K_M\.gguf \(0\.0 GiB\)"):
        choose(listing(*paths), Wanted())
    assert chosen(*paths, file="m.Q8_0.gguf") == ["m.Q8_0.gguf"]
    assert chosen(*paths, file="*Q4*") == ["m.Q4_K_M.gguf"]
    with pytest.raises(UsageError, match=r"no GGUF file that --file \*Q5"):
        choose(listing(*paths), Wanted(file="*Q5*"))


def test_a_split_gguf_file_comes_with_all_its_parts() -> None:
    """Asked for by its first part, or by a pattern."""
    parts = ["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"]
    assert chosen(*parts, "small.gguf", file=parts[0]) == parts
    assert chosen(*parts, "small.gguf", file="big*") == parts


def test_a_repository_without_weights_is_refused_with_what_to_do() -> None:
    """A tokenizer alone is no model."""
    with pytest.raises(UsageError, match="neither safetensors nor GGUF"):
        choose(listing("tokenizer.json"), Wanted())


@pytest.mark.parametrize(
    "path",
    [
        "../evil.json",
        "/etc/evil.json",
        "a/../../evil.json",
        "a//evil.json",
        "./evil.json",
        "a\\..\\evil.json",
        "evil\n.json",
        "evil\x1b[2J.json",
        "evil\u202e.json",
        "\ud800.json",
        "",
        "a/",
    ],
)
def test_a_list_with_a_name_that_leads_out_of_the_directory_is_refused_as_a_whole(path: str) -> None:
    """Whoever lists such a name is not to be trusted with the rest either; the message shows no raw controls."""
    with pytest.raises(ModelError, match="cannot be trusted") as refused:
        checked(listing("model.safetensors", path), asked="main")
    assert str(refused.value).isprintable()


def test_hidden_and_odd_names_and_the_record_s_own_are_left_out() -> None:
    """They are in honest repositories too."""
    odd = (".gitattributes", "a/.gitkeep", "-rf.json", "~x.json", "c:x.json", "x" * 300, "a/b/c/d/e/f/g/h/i.json")
    kept = checked(listing("config.json", "说明.txt", "viiwork-model.json", *odd), asked="main").files
    assert [file.path for file in kept] == ["config.json", "说明.txt"]


def test_a_list_that_contradicts_itself_is_refused() -> None:
    """A name that comes twice, or is a file and a directory; a wrong commit; a file without a hash."""
    for broken in (
        listing("a.json", "a.json"),
        listing("a.json", "a.json/b.json"),
        listing("a.json", commit="main"),
        Listing("org/name", COMMIT, (HubFile("a.json", 1),)),
        Listing("org/name", COMMIT, (HubFile("a.json", -1, git_sha1=DIGEST),)),
    ):
        with pytest.raises(ModelError, match="cannot be trusted"):
            checked(broken, asked="main")
    with pytest.raises(ModelError, match="answers with"):
        checked(listing("a.json"), asked="3" * 40)


def test_names_are_taken_apart() -> None:
    """`org/name`, a revision, one file of it."""
    assert parse_name("org/name@v1") == ModelName("org/name", "v1")
    assert parse_name("gpt2") == ModelName("gpt2")
    assert parse_name("org/name/dir/m.gguf@refs/pr/1") == ModelName("org/name", "refs/pr/1", "dir/m.gguf")
    assert str(parse_name("org/name/m.gguf@v1")) == "org/name/m.gguf@v1"
    assert ModelName("org/name").folder == "org--name"


@pytest.mark.parametrize(
    "text", ["", "/etc", "../x", "org/..", "a b", "org/name@", "org/name@../x", "org--x/name", "org/name/../x", "x\ny"]
)
def test_a_name_that_is_none_is_refused(text: str) -> None:
    """In one sentence; none leads out of the models' directory."""
    with pytest.raises(UsageError):
        parse_name(text)
