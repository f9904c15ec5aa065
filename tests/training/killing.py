"""A training that dies in an epoch, as a kill would end it: nothing of that epoch is kept."""

from pytorch_lightning import Callback


class Killed(Exception):  # noqa: N818
    """The training was ended."""


class KillIn(Callback):
    """Dies in an epoch, after its first step."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == self._epoch:
            raise Killed
