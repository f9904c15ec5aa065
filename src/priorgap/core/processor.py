"""This machine's processor: its name, as results and benchmarks record it, and whether its bfloat16 is fast."""

import platform
from functools import cache
from pathlib import Path

# Instruction sets that decide which matrix kernels run; two processors of the same brand can differ in them.
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
    """Whether bfloat16 products are expected to be faster than float32 ones; this was measured on x86-64 only."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_flags(_facts(Path("/proc/cpuinfo"))))


def _facts(info: Path) -> dict[str, str]:
    """Return the fields of the first processor in such a file; {} where there is none."""
    found: dict[str, str] = {}
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else ():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def _flags(facts: dict[str, str]) -> list[str]:
    return (facts.get("flags") or facts.get("Features") or "").split()
