"""The sweeper of a grid that was composed and checked already; Hydra executes this module at each start."""

from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class Grid(Sweeper):
    """Goes through the cells of a grid as Hydra's basic sweeper does, but a job that failed stops no other.

    The basic one raises what the first failed job of a batch raised, and the rest is never launched.
    """

    def __init__(self, max_batch_size: int | None, params: Any) -> None:
        self.max_batch_size = max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over, and make the launcher."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Launch every cell; return what came of each, batch by batch."""
        from priorgap.pipeline.config.words import Word, expand, parsed

        cells = expand(parsed([Word.parse(word) for word in arguments], multirun=True))
        assert self.config is not None
        assert self.launcher is not None
        folder = Path(str(self.config.hydra.sweep.dir))
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        size = self.max_batch_size or len(cells)
        return [
            self.launcher.launch(cells[first : first + size], initial_job_idx=first)
            for first in range(0, len(cells), size)
        ]
