"""A launcher and a sweeper as another package has them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import open_dict


class TwoPoints(Sweeper):
    """A sweeper that chooses its second point when it has seen what came of the first."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Any]:
        found: list[float] = []
        returned = []
        for i, alpha in enumerate((1.0, None)):
            alpha = alpha if alpha is not None else 10 + round(found[-1] > 0)
            words = [w for w in arguments if not w.startswith("loss.alpha")]
            batch = self.launcher.launch([[*words, f"loss.alpha={alpha}"]], initial_job_idx=i)
            found += [one.return_value for one in batch]
            returned.append(batch)
        # another copy of this module may be the one that Hydra found
        Path("points.json").write_text(json.dumps(found), encoding="utf-8")
        return returned


class OneByOne(Launcher):
    """Another package's launcher; the job of seed 1 ends before the task can say why."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        setup_globals()
        returned = []
        for i, words in enumerate(job_overrides, initial_job_idx):
            config = self.context.config_loader.load_sweep_config(self.config, list(words))
            with open_dict(config):
                config.hydra.job.id, config.hydra.job.num = str(i), i
            if config.seed == 1:
                error = MemoryError("no room")
                returned.append(JobReturn(list(words), status=JobStatus.FAILED, _return_value=error))
                continue
            returned.append(
                run_job(
                    hydra_context=self.context, task_function=self.task, config=config,
                    job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir",
                )
            )  # fmt: skip
        return returned


for _group, _plugin in (("sweeper", TwoPoints), ("launcher", OneByOne)):
    _node = {"_target_": f"{_plugin.__module__}.{_plugin.__name__}"}
    ConfigStore.instance().store(group=f"hydra/{_group}", name=_plugin.__name__.lower(), node=_node)
