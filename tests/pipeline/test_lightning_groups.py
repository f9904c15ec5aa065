"""The groups `callbacks` and `logger`, and nodes of optimisers and schedules: what counts for a model's id."""

import csv

import pytest
from tiny_study import run_tiny

from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.session import Request, Session

SCHEDULE = "trainer.scheduler={_target_:torch.optim.lr_scheduler.ExponentialLR,gamma:0.5}"
MOMENTUM = "trainer.optimizer={_target_:torch.optim.SGD,_partial_:true,momentum:0.9}"


def train_id(*words: str) -> str:
    with Session(Request(words)) as session:
        (cell,) = session.cells()
    return ModelConfig(*cell).train_id


def test_what_changes_the_training_changes_the_id():
    plain = train_id()
    assert plain == train_id("callbacks=[learning_rate]", "logger=[csv]") == train_id("callbacks=[]")
    changed = [
        train_id(*words)
        for words in (
            ("callbacks=[swa]",),
            ("callbacks=[ema]",),
            ("callbacks=[swa]", "callbacks.swa.swa_lrs=0.1"),
            (SCHEDULE,),
            (MOMENTUM,),
        )
    ]
    assert len({plain, *changed}) == 1 + len(changed)
    assert train_id("callbacks=[swa,learning_rate]", "logger=[csv]") == changed[0]


def test_curves_reach_a_logger_and_results_are_the_same(tmp_path, capsys):
    words = ("sampler=[prior]", "metric=[rate,copying]", SCHEDULE)
    assert run_tiny(tmp_path, *words, study="plain") == 0
    assert run_tiny(tmp_path, *words, "logger=csv", "callbacks=[learning_rate]", study="logged") == 0
    (log,) = (tmp_path / "outputs/logged/lightning").rglob("metrics.csv")
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr-Adam"]) for row in rows if row["lr-Adam"]] == pytest.approx([1e-3, 5e-4])
    assert sum(row["validation_loss"] != "" for row in rows) == 2
    texts = [(tmp_path / f"outputs/{name}/report/results.csv").read_text() for name in ("plain", "logged")]
    assert texts[0].replace("plain", "x") == texts[1].replace("logged", "x")
    assert run_tiny(tmp_path, *words, "logger=csv", "callbacks=[learning_rate]", study="logged") == 0
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["callbacks=[swa]", "trainer=batched"], "callbacks=swa: trainer=batched has none"),
        (["logger=csv", "trainer=batched", "callbacks=[]"], "logger=csv: trainer=batched has none"),
        (["callbacks=[learning_rate]"], "it needs a logger; expected logger=csv"),
        (["callbacks=[early_stopping]", "callbacks.early_stopping.monitor=loss"], "monitor=loss"),
        (["callbacks=[swa]", "trainer.patience=3"], "trainer.patience=3"),
        (["callbacks=[early_stopping]", "model=gan_mlp", "sampler=[prior]"], "a GAN has no loss to stop on"),
        (["+callbacks.x._target_=pytorch_lightning.callbacks.ModelCheckpoint"], "one checkpoint"),
        (["+callbacks.x._target_=pytorch_lightning.callbacks.LambdaCallback"], "functions"),
        (["+callbacks.x._target_=os.system"], "callbacks.x._target_=os.system"),
        (["logger=csv", "+logger.csv.save_dir=/tmp/x"], "priorgap gives it"),
        (["+logger.x._target_=pytorch_lightning.loggers.MLFlowLogger"], "CSVLogger"),
        (["trainer.optimizer={_target_:torch.optim.SGD,params:1}"], "priorgap gives it"),
        (["trainer.optimizer=sgd"], "trainer.optimizer=sgd"),
        (["trainer.scheduler={_target_:torch.optim.SGD}"], "LRScheduler"),
        (["trainer.scheduler={_target_:torch.optim.lr_scheduler.LambdaLR}"], "functions"),
        ([MOMENTUM, "trainer=batched"], "trainer=default"),
        (["callbacks=[nothing]"], "nothing"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, capsys, words, message):
    assert run_tiny(tmp_path, *words) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and "Traceback" not in said and len(said.splitlines()) == 1
    assert not (tmp_path / "outputs/tiny").exists()
