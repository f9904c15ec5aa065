"""This machine's processor: its name, as results and benchmarks record it, and what it computes fast."""

import platform
from functools import cache
from pathlib import Path

# instructions that decide which product kernels run: two processors of the same brand differ in them
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")


@cache
def processor() -> str:
    """Return the processor's brand, its model number, and which of `INSTRUCTIONS` it has."""
    return described(Path("/proc/cpuinfo"))


def described(info: Path) -> str:
    """Return the same from a file like Linux's /proc/cpuinfo, or from Python's `platform` where there is none."""
    facts = _facts(info)
    brand = facts.get("model name") or platform.processor() or platform.machine()
    flags = _flags(facts)
    model = f"model {facts['model']}" if "model" in facts else ""
    return ", ".join(part for part in (brand, model, " ".join(i for i in INSTRUCTIONS if i in flags)) if part)


@cache
def has_bf16_products() -> bool:
    """Whether products in bfloat16 were measured faster than in float32 on processors like this one: x86-64 alone."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_flags(_facts(Path("/proc/cpuinfo"))))


def _facts(info: Path) -> dict[str, str]:
    """Return what such a file says of its first processor; {} where there is none."""
    found: dict[str, str] = {}
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else ():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def _flags(facts: dict[str, str]) -> list[str]:
    return (facts.get("flags") or facts.get("Features") or "").split()
