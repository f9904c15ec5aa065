"""How many cores this process may use; read by commands that load neither torch nor Hydra."""


def available_cores() -> int:
    """Return the number of cores that this process may really use: affinity and control groups count."""
    from joblib import cpu_count

    return max(1, int(cpu_count()))
