"""The number of cores that this process may use, for commands that load neither torch nor Hydra."""


def available_cores() -> int:
    """Return the number of cores that this process may use, with affinity and control groups taken into account."""
    from joblib import cpu_count

    return max(1, int(cpu_count()))
