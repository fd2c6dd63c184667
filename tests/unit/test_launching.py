"""From a recipe to a command and an environment: one golden launch a recipe, and what never passes to an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.cards import radeon_vii, write_tree
from viiwork.devices import Device, open_devices
from viiwork.errors import SettingsError
from viiwork.recipes.cards import numbers, pin_value, pins, seen_cards, vram_used_file
from viiwork.recipes.launch import Launch
from viiwork.recipes.launching import Place, context_of, kv_bytes_of, make_launch
from viiwork.recipes.load import load_recipe
from viiwork.recipes.modelfacts import ModelFacts
from viiwork.recipes.parallel import Parallel, told
from viiwork.recipes.recipe import Recipe
from viiwork.settings import EngineSection

MODEL = ModelFacts(path="/models/tiny", context_tokens=2048, tokenizer="/models/tiny", kv_bytes=2048)
OUTSIDE = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "CUDA_VISIBLE_DEVICES": "7",
    "ROCR_VISIBLE_DEVICES": "7",
    "HIP_VISIBLE_DEVICES": "7",
    "GPU_DEVICE_ORDINAL": "7",
    "HF_TOKEN": "hf_secret",
    "VLLM_API_KEY": "of-another",
    "VIIWORK_REDIS_URL": "redis://:secret@h",
    "FLOWER_BASIC_AUTH": "viiwork:secret",
    "http_proxy": "http://proxy",
    "PYTHONPATH": "/elsewhere",
}
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
VLLM_QUIET = {**QUIET, "VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
VLLM = (
    "/v/bin/python -m vllm.entrypoints.openai.api_server --model /models/tiny --served-model-name tiny "
    "--host 127.0.0.1 --port {port} --max-num-seqs SLOTS --max-model-len 2048 "
)
COMMON = "--scheduling-policy priority --no-enable-log-requests --disable-uvicorn-access-log"


def launched(
    kind: str,
    worker: str,
    tmp_path: Path,
    *,
    program: str = "/v/bin/python",
    cards: tuple[Device, ...] = (),
    parallel: Parallel | None = None,
    **engine: object,
) -> Launch:
    """What a worker of a host with eight processors and two engines would start; the host shows no card."""
    section = EngineSection.model_validate({"kind": kind, "model": "tiny", **engine})
    place = Place(
        environ=OUTSIDE, state_dir=Path("/state"), engines=2, cpus=8, root=tmp_path, cards=cards, parallel=parallel
    )
    recipe = load_recipe(kind)
    return make_launch(recipe, section, worker=worker, alias="tiny", model=MODEL, place=place, program=program)


def test_vllm_on_a_card(tmp_path: Path) -> None:
    launch = launched("vllm", "gpu1", tmp_path)
    rest = "--tensor-parallel-size 1 --pipeline-parallel-size 1 "
    assert " ".join(launch.argv) == VLLM.replace("SLOTS", "64") + rest + COMMON
    assert launch.env == {
        "PATH": "/v/bin:/usr/bin",
        "HOME": "/home/me",
        "OMP_NUM_THREADS": "4",
        "SPT_NOENV": "1",
        **VLLM_QUIET,
        "VLLM_API_KEY": "{key}",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    assert (launch.alias, launch.slots, launch.context_tokens, launch.dialect) == ("tiny", 64, 2048, "vllm")
    assert launch.priority
    assert launch.start_timeout_s == 900


def test_an_engine_is_told_the_split_that_was_planned(tmp_path: Path) -> None:
    """vLLM by its two sizes, llama.cpp by the share of each card; on one card llama.cpp hears nothing of it."""
    four = launched("vllm-gfx906", "gpu0+gpu1+gpu2+gpu3", tmp_path, parallel=Parallel(2, 2))
    assert "--tensor-parallel-size 2 --pipeline-parallel-size 2 " in " ".join(four.argv)
    words = " ".join(launched("llama-cpp", "gpu0+gpu2+gpu3", tmp_path, parallel=Parallel(1, 3)).argv)
    assert words.endswith("--split-mode layer --tensor-split 1,1,1")
    assert "--tensor-split" not in launched("llama-cpp", "gpu0", tmp_path, parallel=Parallel()).argv


def test_a_split_goes_by_an_environment() -> None:
    """From the supervisor to the worker; what is no split is an error that names the variable."""
    assert told({"VIIWORK_WORKER_SPLIT": str(Parallel(2, 3))}) == Parallel(2, 3)
    assert told({}) is None
    with pytest.raises(SettingsError, match=r"VIIWORK_WORKER_SPLIT: '2' is no split"):
        told({"VIIWORK_WORKER_SPLIT": "2"})


def test_vllm_on_the_cpu(tmp_path: Path) -> None:
    """Without the limit on keys and values it takes 20 GiB; all slots of this model together need 256 MiB."""
    launch = launched("vllm-cpu", "cpu0", tmp_path)
    assert " ".join(launch.argv) == VLLM.replace("SLOTS", "64") + (
        "--scheduling-policy priority --no-enable-chunked-prefill --max-num-batched-tokens 2048 "
        "--no-enable-log-requests --disable-uvicorn-access-log "
        "--distributed-executor-backend uni --enforce-eager --dtype bfloat16 --kv-cache-memory-bytes 268435456 "
        '--structured-outputs-config {"backend":"xgrammar","disable_any_whitespace":true}'
    )
    assert launch.env == {
        "PATH": "/v/bin:/usr/bin",
        "HOME": "/home/me",
        "OMP_NUM_THREADS": "1",
        "SPT_NOENV": "1",
        "TORCHDYNAMO_DISABLE": "1",
        **VLLM_QUIET,
        "VLLM_API_KEY": "{key}",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }


def test_vllm_on_two_radeon_vii(tmp_path: Path) -> None:
    launch = launched("vllm-gfx906", "gpu0+gpu1", tmp_path)
    assert " ".join(launch.argv) == VLLM.replace("SLOTS", "16") + (
        f"--tensor-parallel-size 2 --pipeline-parallel-size 1 {COMMON} "
        "--dtype float16 --gpu-memory-utilization 0.90 --max-num-batched-tokens 2048"
    )
    assert launch.env == {
        "PATH": "/v/bin:/usr/bin",
        "HOME": "/home/me",
        "OMP_NUM_THREADS": "4",
        "SPT_NOENV": "1",
        **VLLM_QUIET,
        "VLLM_API_KEY": "{key}",
        "FLASH_ATTENTION_TRITON_AMD_ENABLE": "TRUE",
        "ROCR_VISIBLE_DEVICES": "0,1",
    }
    assert launch.start_timeout_s == 1200


def test_llama_cpp(tmp_path: Path) -> None:
    """Its context is that of all slots together."""
    launch = launched("llama-cpp", "gpu0", tmp_path, program="/usr/bin/llama-server")
    assert " ".join(launch.argv) == (
        "/usr/bin/llama-server --model /models/tiny --alias tiny --host 127.0.0.1 --port {port} --parallel 4 "
        "--ctx-size 8192 --n-gpu-layers 999 --jinja --metrics --no-slots --no-webui --offline"
    )
    assert launch.env == {
        "PATH": "/usr/bin",
        "HOME": "/home/me",
        "OMP_NUM_THREADS": "4",
        "SPT_NOENV": "1",
        "LLAMA_API_KEY": "{key}",
        "LLAMA_ARG_THREADS": "4",
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "CUDA_VISIBLE_DEVICES": "0",
    }


def test_tgi(tmp_path: Path) -> None:
    """It knows the model by its path alone, and its shards' socket must not be that of another engine."""
    launch = launched("tgi", "gpu0", tmp_path, program="/usr/bin/text-generation-launcher")
    assert " ".join(launch.argv) == (
        "/usr/bin/text-generation-launcher --model-id /models/tiny --hostname 127.0.0.1 --port {port} --num-shard 1 "
        "--max-concurrent-requests 64 --max-total-tokens 2048 --shard-uds-path /state/engines/gpu0/shard "
        "--usage-stats off"
    )
    assert launch.env == {
        "PATH": "/usr/bin",
        "HOME": "/home/me",
        "OMP_NUM_THREADS": "4",
        "SPT_NOENV": "1",
        **QUIET,
        "API_KEY": "{key}",
        "USAGE_STATS": "off",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert launch.alias == "/models/tiny"


def test_mlc_llm(tmp_path: Path) -> None:
    launch = launched("mlc-llm", "gpu0", tmp_path)
    assert " ".join(launch.argv) == (
        "/v/bin/python -m mlc_llm serve /models/tiny --host 127.0.0.1 --port {port} --mode server "
        "--overrides max_num_sequence=16;context_window_size=2048;tensor_parallel_shards=1"
    )
    assert launch.env == {
        "PATH": "/v/bin:/usr/bin",
        "HOME": "/home/me",
        "OMP_NUM_THREADS": "4",
        "SPT_NOENV": "1",
        **QUIET,
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert launch.health == "/v1/models"


def test_a_server_of_somebody_elses_is_not_started(tmp_path: Path) -> None:
    launch = launched("url", "cpu0", tmp_path, url="http://h:1/", key_file=tmp_path / "key")
    assert (launch.argv, launch.env) == ((), {})
    assert (launch.url, launch.key_file) == ("http://h:1", str(tmp_path / "key"))


def test_a_worker_without_a_card_shows_its_engine_none(tmp_path: Path) -> None:
    assert launched("llama-cpp", "cpu0", tmp_path).env["CUDA_VISIBLE_DEVICES"] == ""


def test_what_a_person_adds_comes_last_and_settings_win_over_the_recipe(tmp_path: Path) -> None:
    launch = launched(
        "vllm",
        "gpu0",
        tmp_path,
        args=["--max-num-seqs", "8", "{not-ours}"],
        slots=8,
        context_tokens=1024,
        start_timeout_s=5,
        hang_s=6,
        keep_s=7,
        canary_every_s=8,
        canary_expect="x",
    )
    assert launch.argv[-3:] == ("--max-num-seqs", "8", "{not-ours}")
    assert (launch.slots, launch.context_tokens) == (8, 1024)
    assert (launch.start_timeout_s, launch.hang_s, launch.keep_s, launch.canary_every_s) == (5, 6, 7, 8)
    assert launch.expect == "x"


def test_a_context_is_never_longer_than_the_models() -> None:
    recipe = Recipe(title="x", context_tokens=8192)
    assert context_of(recipe, EngineSection(), ModelFacts(context_tokens=2048)) == 2048
    assert context_of(recipe, EngineSection(context_tokens=4096), ModelFacts()) == 4096
    assert context_of(recipe, EngineSection(), ModelFacts(context_tokens=131072)) == 8192


def test_memory_for_keys_and_values_holds_one_full_request_at_least_and_four_gib_at_most() -> None:
    recipe, engine = Recipe(title="x", slots=64, context_tokens=4096), EngineSection()
    assert kv_bytes_of(recipe, engine, ModelFacts(kv_bytes=128 * 1024)) == 4 << 30
    assert kv_bytes_of(recipe, engine, ModelFacts(kv_bytes=2 << 20)) == (9 << 30)
    assert kv_bytes_of(recipe, engine, ModelFacts(kv_bytes=16)) == 64 << 20


def test_a_placeholder_inside_a_value_stays_as_it_is(tmp_path: Path) -> None:
    """A model may lie in a folder that is called `{port}`."""
    place = Place(environ={}, state_dir=tmp_path, root=tmp_path)
    recipe = Recipe(title="x", command=("serve", "{model}", "{port}"))
    model = ModelFacts(path="/models/{slots}")
    launch = make_launch(recipe, EngineSection(), worker="cpu0", alias="a", model=model, place=place, program="/serve")
    assert launch.argv == ("/serve", "/models/{slots}", "{port}")


@pytest.mark.parametrize(
    ("worker", "seen", "pin"),
    [("gpu2", 4, "2"), ("gpu2", 0, "2"), ("gpu2", 1, "0"), ("gpu0+gpu1", 2, "0,1"), ("cpu0", 4, ""), ("cpu0", 1, "")],
)
def test_a_card_is_pinned_by_its_number_and_a_single_one_is_number_0(worker: str, seen: int, pin: str) -> None:
    """A container shows its worker one card, which is number 0 there, whatever the worker is called."""
    assert pin_value(worker, seen=seen) == pin
    assert len(numbers(worker)) == (0 if worker == "cpu0" else len(pin.split(",")))


def host_with_cards(root: Path, *, openable: tuple[int, ...]) -> None:
    """A host with a processor and two cards of AMD's, of which some can be opened."""
    for node, facts in (("0", "simd_count 0"), ("1", "simd_count 240\ndrm_render_minor 128"), ("2", "")):
        folder = root / "sys/class/kfd/kfd/topology/nodes" / node
        folder.mkdir(parents=True)
        (folder / "properties").write_text(facts or "simd_count 240\ndrm_render_minor 129\n")
    for minor in openable:
        device = root / "dev/dri" / f"renderD{minor}"
        device.parent.mkdir(parents=True, exist_ok=True)
        device.touch()
        used = root / "sys/class/drm" / f"renderD{minor}" / "device/mem_info_vram_used"
        used.parent.mkdir(parents=True)
        used.write_text("1\n")


def test_cards_are_counted_as_rocm_does_and_their_memory_is_found(tmp_path: Path) -> None:
    host_with_cards(tmp_path, openable=(128, 129))
    assert seen_cards("ROCR_VISIBLE_DEVICES", root=tmp_path) == 2
    assert vram_used_file("gpu1", root=tmp_path).endswith("renderD129/device/mem_info_vram_used")
    assert vram_used_file("gpu2", root=tmp_path) == ""
    assert vram_used_file("cpu0", root=tmp_path) == ""


def test_a_container_with_one_of_two_cards_counts_that_one(tmp_path: Path) -> None:
    host_with_cards(tmp_path, openable=(129,))
    assert seen_cards("ROCR_VISIBLE_DEVICES", root=tmp_path) == 1
    assert vram_used_file("gpu1", root=tmp_path).endswith("renderD129/device/mem_info_vram_used")


def test_cards_of_nvidia_are_counted_by_their_nodes(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    assert seen_cards("CUDA_VISIBLE_DEVICES", root=tmp_path) == 2
    assert seen_cards("ROCR_VISIBLE_DEVICES", root=tmp_path) == 0


VII = Device("GPU-2160000000000001", "amd", 1, "Radeon VII", "gfx906", 1, uuid="GPU-2160000000000001")
NAMELESS = Device("0000:03:00.0", "amd", 0, "MI50", "gfx906", 1)
RTX = Device("GPU-5f3a", "nvidia", 2, "RTX 3090", "sm_86", 1, uuid="GPU-5f3a")
NAMELESS_RTX = Device("0000:04:00.0", "nvidia", 3, "RTX 3090", "sm_86", 1)


@pytest.mark.parametrize(
    ("pin", "cards", "shown"),
    [
        ("ROCR_VISIBLE_DEVICES", (VII,), {"ROCR_VISIBLE_DEVICES": VII.uuid}),
        ("ROCR_VISIBLE_DEVICES", (NAMELESS,), {"ROCR_VISIBLE_DEVICES": "0"}),
        ("ROCR_VISIBLE_DEVICES", (NAMELESS, VII), {"ROCR_VISIBLE_DEVICES": "0,1"}),
        ("CUDA_VISIBLE_DEVICES", (VII,), {"ROCR_VISIBLE_DEVICES": VII.uuid}),
        ("HIP_VISIBLE_DEVICES", (VII,), {"HIP_VISIBLE_DEVICES": "1"}),
        ("CUDA_VISIBLE_DEVICES", (RTX,), {"CUDA_VISIBLE_DEVICES": "GPU-5f3a"}),
        (
            "CUDA_VISIBLE_DEVICES",
            (RTX, NAMELESS_RTX),
            {"CUDA_VISIBLE_DEVICES": "2,3", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
        ),
    ],
)
def test_a_card_that_is_known_is_pinned_by_its_uuid_else_by_its_number(
    pin: str, cards: tuple[Device, ...], shown: dict[str, str]
) -> None:
    """A HIP build of a CUDA program takes numbers alone, so that AMD's cards are hidden one layer below it."""
    assert pins(pin, cards) == shown


def test_an_engine_sees_its_card_by_uuid_and_none_by_what_was_inherited(tmp_path: Path) -> None:
    """And the memory that is waited for after its end is that card's."""
    root = write_tree(tmp_path, [radeon_vii(0), radeon_vii(1)])
    cards = open_devices("auto", state_dir=tmp_path, root=root).found()[1:]
    launch = launched("vllm-gfx906", "gpu1", root, cards=cards)
    pinned = {name: value for name, value in launch.env.items() if "VISIBLE" in name or "ORDINAL" in name}
    assert pinned == {"ROCR_VISIBLE_DEVICES": radeon_vii(1).uuid}
    assert launch.vram_used_file == str(root / "sys/bus/pci/devices" / radeon_vii(1).pci / "mem_info_vram_used")
    assert launch.env["OMP_NUM_THREADS"] == "4"
