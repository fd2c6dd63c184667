"""Checks of a machine's cards: are there any, may they be opened, does the system around them suit? Each is pure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from viiwork.devices.access import DeviceFile
from viiwork.doctor.cardfacts import CardsFacts, kinds
from viiwork.doctor.finding import Finding, Verdict, fail, ok, warn

NO_OVERRIDE_SINCE = (7, 14)
"""Of ROCm: it knows gfx906 by itself, and the override breaks it."""
OVERRIDDEN = (7, 2)
GFX906 = "9.0.6"
PASSES_THROUGH = frozenset({"iommu=pt", "iommu.passthrough=1", "amd_iommu=off", "intel_iommu=off", "iommu=off"})
ENGINES = ("vllm-gfx906", "llama-cpp")
NOT_FOR_GFX906 = frozenset({"vllm", "tgi"})
TRY_WITHOUT = "To try it without a card: viiwork up --engine simulated --devices simulated:4xRadeonVII"
TRY = (
    "With a card in this computer: load its driver, and let this user open its devices (groups video and render). "
    f"{TRY_WITHOUT}"
)
BF16 = frozenset({"bfloat16", "bf16"})


def trouble(facts: CardsFacts, check: str, found: str, advice: str) -> Finding:
    """It fails where engines want such cards; else nothing is stopped by it."""
    judge = fail if facts.wanted and facts.wants_amd else warn
    return judge(check, found, advice)


def cards(facts: CardsFacts) -> Finding:
    """Each engine has a card of its own, and its user may open it."""
    found = kinds(facts.cards)
    if facts.open < facts.wanted:
        return short_of_cards(facts)
    if facts.wanted:
        return ok("Cards", f"{facts.wanted} wanted, {facts.open} can be opened: {found or 'the driver has them'}")
    why = f"the engine {facts.engine} needs none" if facts.gpus else "workers.gpus is 0"
    if facts.cards:
        return ok("Cards", f"{found}; none is used: {why}")
    return Finding("Cards", Verdict.OK, without_cards(facts, why), "" if facts.simulated else TRY)


def without_cards(facts: CardsFacts, why: str) -> str:
    """What was looked for: a person may have thought that there are some."""
    if facts.simulated:
        return "none found in this computer, and none wanted: the fleet has simulated ones"
    looked = facts.why_none.replace("\n", " ")
    return f"none found and none wanted ({why}): engines run on the processor. {looked}".strip()


def short_of_cards(facts: CardsFacts) -> Finding:
    """Fewer than the settings name."""
    count = "none can" if not facts.open else f"{facts.open} can"
    if not facts.cards:
        why = facts.why_none.replace("\n", " ")
        advice = (
            "Load the driver, or give a container the devices. On the processor: --devices none, workers.gpus to 0."
        )
        advice = f"{advice} {TRY_WITHOUT}"
        return fail("Cards", f"{facts.wanted} wanted, {count} be opened. {why}".strip(), advice)
    mend = "Mend what is said of them above"
    advice = f"{mend}, or set workers.gpus to {facts.open}." if facts.open else f"{mend}."
    return fail("Cards", f"{facts.wanted} wanted, {count} be opened; there are {kinds(facts.cards)}", advice)


def driver(facts: CardsFacts) -> Finding:
    """Linux's own amdgpu is enough; ROCm's is not needed."""
    if facts.driver or facts.kfd.there:
        return ok("Card driver", "amdgpu is loaded")
    advice = "sudo modprobe amdgpu, and look at `dmesg`; on Ubuntu the package linux-modules-extra-$(uname -r) has it."
    return trouble(facts, "Card driver", f"amdgpu is not loaded, and AMD cards on the bus: {facts.on_bus}", advice)


def kfd(facts: CardsFacts) -> Finding:
    """All computing goes through one device file."""
    if not facts.kfd.there:
        advice = "Give a container the devices /dev/kfd and /dev/dri/renderD*; on a host, load amdgpu (see above)."
        return trouble(facts, "/dev/kfd", "it is not there", advice)
    if not facts.kfd.openable:
        return trouble(facts, "/dev/kfd", f"{facts.user} may not open it", "See Groups below.")
    return ok("/dev/kfd", "may be opened")


def render_nodes(facts: CardsFacts) -> Finding:
    """Each card has one of its own."""
    missing = [node.path for node in facts.nodes if not node.there]
    closed = [node.path for node in facts.nodes if node.there and not node.openable]
    if closed:
        return trouble(facts, "Render nodes", f"{facts.user} may not open {', '.join(closed)}", "See Groups below.")
    if missing:  # a container that is given some of the cards has only theirs
        found = f"{len(facts.nodes) - len(missing)} of {len(facts.nodes)} are here; not {', '.join(missing)}"
        if len(facts.nodes) - len(missing) >= max(1, facts.wanted):
            return ok("Render nodes", found)
        return trouble(facts, "Render nodes", found, "Give the container these devices, or look at `dmesg`.")
    return ok("Render nodes", f"{len(facts.nodes)} may be opened")


def groups(facts: CardsFacts) -> Finding:
    """Device files belong to groups, mostly render and video; which, the files themselves say."""
    files = [file for file in (facts.kfd, *facts.nodes) if file.there]
    named = ", ".join(dict.fromkeys(named_group(file) for file in files)) or "no device file to tell by"
    ways = list(dict.fromkeys(way_in(file, facts.user) for file in files if not file.openable))
    if ways:
        return trouble(facts, "Groups", f"the device files belong to {named}", " ".join(ways))
    return ok("Groups", f"{named}: {facts.user} may open them all" if files else named)


def named_group(file: DeviceFile) -> str:
    """`render (109)`."""
    return f"{file.group or 'a group without a name here'} ({file.gid})"


def way_in(file: DeviceFile, user: str) -> str:
    """What lets this user open one device file."""
    if file.has_group:
        return f"{file.path} is closed to its own group: check its mode, or the container's rights."
    if not file.group:
        return f"Give the container the group by number: --group-add {file.gid}, in compose group_add: ['{file.gid}']."
    if file.is_member:
        return f"{user} is in {file.group} ({file.gid}) since the last log-in: log in again."
    return f"sudo usermod -aG {file.group} {user}, then log in again; a container gets --group-add {file.gid}."


def iommu(facts: CardsFacts) -> Finding:
    """One that translates stands between cards that talk to each other."""
    kinds = {card.iommu for card in facts.cards if card.iommu}
    if not facts.iommu_on:
        return ok("IOMMU", "off")
    if kinds == {"identity"} or (not kinds and PASSES_THROUGH.intersection(facts.boot_words)):
        return ok("IOMMU", "on, and passes the cards through")
    found = f"on, and translates for the cards ({', '.join(sorted(kinds - {'identity'})) or 'by its default'})"
    advice = (
        "Add iommu=pt to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, run sudo update-grub, restart: "
        "ROCm asks for it where several cards work together."
    )
    return warn("IOMMU", found, advice)


def rocm(facts: CardsFacts) -> Finding:
    """What is installed here. Images bring their own, and nothing of ours needs it."""
    version = numbers(facts.rocm)
    said = f"ROCm {facts.rocm}" if facts.rocm else "not installed here, and not needed: images bring their own"
    override = f"HSA_OVERRIDE_GFX_VERSION={facts.gfx_override}"
    if facts.gfx906 and facts.gfx_override and version >= NO_OVERRIDE_SINCE:
        return trouble(facts, "ROCm", f"{said}, with {override}", "Unset it: from 7.14 on it must not be set.")
    if facts.gfx906 and facts.gfx_override and facts.gfx_override != GFX906:
        advice = f"Unset it, or on ROCm 7.2.1 set it to {GFX906}: this chip is no other."
        return trouble(facts, "ROCm", f"{said}, with {override}", advice)
    if facts.gfx906 and not facts.gfx_override and version[:2] == OVERRIDDEN:
        return warn("ROCm", said, f"Set HSA_OVERRIDE_GFX_VERSION={GFX906}: ROCm 7.2.1 needs it for gfx906.")
    return ok("ROCm", f"{said}, with {override}" if facts.gfx_override else said)


def numbers(version: str) -> tuple[int, ...]:
    """`6.3.3-74` is 6, 3, 3; nothing of what is no version."""
    parts = version.partition("-")[0].split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


def suited(facts: CardsFacts) -> Finding:
    """A Radeon VII computes float16, and few engines have code for it."""
    known = f"gfx906 runs {' and '.join(ENGINES)}, in float16"
    if not facts.gfx906:
        return ok("Engine for the cards", "no gfx906 here, so nothing particular is known")
    if not facts.wanted:
        return ok("Engine for the cards", known)
    if facts.engine in NOT_FOR_GFX906:
        advice = f"Take --engine {ENGINES[0]} (GPTQ, AWQ and 16 bit) or --engine {ENGINES[1]} (GGUF)."
        return fail("Engine for the cards", f"{facts.engine} has no code for gfx906", advice)
    if dtype(facts.args) in BF16:
        return fail("Engine for the cards", "engine.args ask for bfloat16, which gfx906 has not", "Use float16.")
    if facts.engine not in ENGINES:
        return warn("Engine for the cards", f"nothing is known of {facts.engine} on gfx906", f"{known}.")
    return ok("Engine for the cards", f"{facts.engine} on gfx906, in float16")


def dtype(args: tuple[str, ...]) -> str:
    """What `--dtype X` or `--dtype=X` asks for; the last one counts."""
    words = [word for arg in args for word in (arg.split("=", 1) if arg.startswith("--dtype=") else [arg])]
    said = [after for before, after in pairwise(words) if before == "--dtype"]
    return said[-1].lower() if said else ""


AMD_CHECKS: tuple[Callable[[CardsFacts], Finding], ...] = (driver, kfd, render_nodes, groups, iommu, rocm, suited)
