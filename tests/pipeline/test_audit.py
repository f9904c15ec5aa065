"""`priorgap audit`: a model by a function or two ONNX files, data in files or folders; one line for what is wrong."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from tiny_study import invoke

from priorgap import compare

# principal components of the training digits, with a posterior of their own
MODULE = """
import numpy as np, torch
x = torch.tensor(np.load("train.npy"), dtype=torch.float32).flatten(1) / 255
mean = x.mean(0)
_, s, v = torch.linalg.svd(x - mean, full_matrices=False)
basis, scale = v[:3], s[:3] / len(x) ** 0.5

def encode(x):
    m = ((x.flatten(1) - mean) @ basis.T) / scale
    return m, torch.full_like(m, -3.0)

def decode(z):
    return ((z * scale) @ basis + mean).clamp(0, 1).view(-1, 1, 8, 8)

def pair():
    return encode, decode

class Model:
    encode, decode = staticmethod(encode), staticmethod(decode)

def dictionary():
    return {"encode": encode, "decode": decode, "range": (0, 1)}

def number():
    return 3

def raises():
    raise RuntimeError("no weights here")

def shapes():
    return (lambda x: (x.flatten(1) @ basis, None)), decode

def constant():
    return encode, lambda z: torch.zeros(len(z), 1, 8, 8)
"""
FEW = ("samplers=prior,gaussian_full", "metrics=rate,fid", "features=pixels", "n=100")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("my_vae", "broken_vae"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    x = (load_digits().images * 15.9).astype(np.uint8)
    y = load_digits().target
    np.save("train.npy", x[:1200])
    np.savez("train.npz", x=x[:1200], y=y[:1200])
    np.savez("test.npz", x=x[1200:], y=y[1200:])
    np.savez("both.npz", x_train=x[:1200], x_test=x[1200:], y_train=y[:1200], y_test=y[1200:])
    np.savez("all.npz", x=x)
    Path("pixels.csv").write_text("p1,p2,p3\n" + "1,2,3\n2,4,1\n" * 20)
    Path("other.csv").write_text("p1,p2,p9\n" + "1,2,3\n2,4,1\n" * 20)
    Path("text.csv").write_text("p1,p2,p3\n" + "1,2,u\n2,4,v\n" * 20)
    np.savez("odd.npz", x_train=x[:40] / 8.0, x_test=x[40:80] / 8.0)
    Path("my_vae.py").write_text(MODULE)
    Path("broken_vae.py").write_text("import torch\nx = 1 /\n")
    return tmp_path


def values(folder: str) -> dict[tuple[str, ...], str]:
    with (Path(folder) / "results.csv").open(newline="") as handle:
        return {
            tuple(row[k] for k in ("sampler", "measure", "unit")): row["value"]
            for row in csv.DictReader(handle)
        }


def test_the_numbers_of_compare_and_a_report(here, capsys):
    assert (
        invoke("audit", "--model", "my_vae:pair", "--data", "train.npz", "--test=test.npz", *FEW, "out=a")
        == 0
    )
    said = capsys.readouterr()
    assert (
        said.out.startswith("Do this: ") and "How sure: " in said.out and "report: a/report.html" in said.out
    )
    assert "measuring gaussian_full" in said.err
    assert {"report.html", "results.csv", "verdict.json", "table.md"} <= {p.name for p in Path("a").iterdir()}
    import my_vae

    with np.load("both.npz") as arrays:
        found = compare(
            my_vae.encode, my_vae.decode, arrays["x_train"], arrays["x_test"], n=100, features="pixels",
            labels=(arrays["y_train"], arrays["y_test"]), samplers=["prior", "gaussian_full"],
            metrics=["rate", "fid"],
        )  # fmt: skip
    keys = ["sampler", "measure", "unit"]
    expected = {tuple(map(str, k)): f"{v:.10g}" for k, v in found.table.set_index(keys)["value"].items()}
    assert values("a") == expected
    # other spellings, other forms of the same model and data
    for model, data in (
        ("my_vae:Model", ("data=both.npz",)),
        ("my_vae:dictionary", ("data=both.npz", "seed=0")),
    ):
        assert invoke("audit", f"model={model}", *data, *FEW, "out=b") == 0
        assert values("b") == expected
    assert "test_rows_by_a_seed" not in Path("a/verdict.json").read_text()


def test_a_table_has_the_numbers_of_the_same_rows_in_an_array(here, capsys):
    with np.load("both.npz") as arrays:
        x, y = arrays["x_train"].reshape(1200, -1), arrays["y_train"]
    Path("flat.py").write_text(
        "import torch\nfrom my_vae import encode as e, decode as d\n"
        "def load():\n    return (lambda x: e(x / 255)), (lambda z: 255 * d(z).flatten(1))\n"
    )
    np.savez("flat.npz", x=x.astype(np.float32), y=y)
    header = ",".join([*(f"p{i}" for i in range(64)), "the digit"])
    np.savetxt("a (1).csv", np.column_stack([x, y]), fmt="%d", delimiter=",", header=header, comments="")
    for data, out in ((("data=flat.npz",), "a"), (("data=a (1).csv", "data.target=the digit"), "b")):
        assert invoke("audit", "model=flat:load", *data, *FEW, f"out={out}") in (0, 1)
    assert values("a") == values("b") and ("gaussian_full", "fid", "") in values("b")
    assert "data=a (1).csv: " in capsys.readouterr().err


def test_rows_in_no_parts_are_split_and_that_is_said(here, capsys):
    assert invoke("audit", "model=my_vae:pair", "data=all.npz", *FEW, "out=a") == 0
    assert "Check that the model was not trained on the test rows" in capsys.readouterr().out
    names = {finding["name"] for finding in json.loads(Path("a/verdict.json").read_text())["health"]}
    assert "test_rows_by_a_seed" in names


def write(folder: Path, x: np.ndarray, y: np.ndarray) -> None:
    for i, (image, label) in enumerate(zip(x, y, strict=True)):
        (folder / f"c{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"c{label}" / f"{i}.png")


def test_folders_of_images_keep_the_names_of_their_classes(here, capsys):
    with np.load("both.npz") as arrays:
        write(Path("images/train"), arrays["x_train"], arrays["y_train"])
        write(Path("images/test"), arrays["x_test"], arrays["y_test"])
    words = ("samplers=per_class_gaussian_full", "metrics=class_balance,fid", "features=pixels", "n=100")
    assert invoke("audit", "model=my_vae:pair", "data=images", *words, "out=a") == 0
    assert {f"c{k}" for k in range(10)} <= {unit for _, _, unit in values("a")}
    assert "classes (c0, c1" in capsys.readouterr().err
    # two folders are the same data
    assert invoke("audit", "model=my_vae:pair", "data=images/train", "test=images/test", *words, "out=b") == 0
    assert values("b") == values("a")


def test_two_onnx_files(here, capsys):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from onnx_networks import affine

    w = np.random.default_rng(0).normal(size=(6, 2))
    x = np.random.default_rng(1).normal(size=(400, 2)) @ w.T
    inverse = np.linalg.pinv(w.T)
    np.savez("v.npz", x_train=x[:300].astype("f4"), x_test=x[300:].astype("f4"))
    affine(Path("enc.onnx"), [inverse, -3 * inverse * 0], names=["mean", "log_var"])
    affine(Path("dec.onnx"), [w.T])
    short = ("data=v.npz", "samplers=prior,gaussian_full", "metrics=fid", "features=pixels")
    status = {words: invoke("audit", *words, *short, "out=a") for words in (("onnx=enc.onnx,dec.onnx",),)}
    # a log_var of 0 throughout is refused by health, in the report
    assert set(status.values()) == {1}
    assert "Return the logarithm of the variance" in capsys.readouterr().out
    affine(Path("enc.onnx"), [inverse], names=["mean"])
    assert invoke("audit", "--onnx", "enc.onnx", "dec.onnx", *short, "out=a") == 0
    assert ("gaussian_full", "fid", "") in values("a")


BAD = {
    "model=my_vae:par data=both.npz": "model=my_vae:par: my_vae has no par; did you mean pair?",
    "model=my_vae:number data=both.npz": "model=my_vae:number: gave int, without encode and decode",
    "model=my_vae:raises data=both.npz": "RuntimeError: no weights here (my_vae.py, line",
    "model=my_vae:shapes data=both.npz": "model=my_vae:shapes: RuntimeError: mat1 and mat2 shapes",
    "model=broken_vae:x data=both.npz": "importing broken_vae fails: SyntaxError",
    "model=nowhere:x data=both.npz": "no module nowhere in the current folder, or installed",
    "model=my_vae.py data=both.npz": "my_vae.py is a file: its module is my_vae",
    "model=my_vae:pair onnx=a,b data=both.npz": "expected one of model=MODULE:FACTORY and onnx=",
    "onnx=a data=both.npz": "onnx=a: expected two files",
    "model=my_vae:pair": "data: missing",
    "model=my_vae:pair data=none.npz": "data=none.npz: no such file or folder",
    "model=my_vae:pair data=my_vae.py": "expected a folder of images, or a file .npz or .npy",
    "model=my_vae:pair data=both.npz test=test.npz": "test=test.npz: data=both.npz has test rows of its own",
    "model=my_vae:pair data=train.npz test=both.npz": "comes in parts train, test",
    "model=my_vae:pair data=both.npz samplers=gm": "did you mean gmm?",
    "model=my_vae:pair data=both.npz data.channel=grey": "data.channel: unknown key",
    "model=my_vae:pair data=both.npz data.split_seed=[": "data.split_seed=[: expected a plain value",
    "model=my_vae:pair data=odd.npz": "data=odd.npz: train is float64 (40, 8, 8): values from 0 to 31",
    "model=my_vae:pair data=pixels.csv data.targt=y": "data.targt: unknown key; did you mean data.target?",
    "model=my_vae:pair data=pixels.csv data.target=z": "data.target=z: data=pixels.csv has no such column",
    "model=my_vae:pair data=pixels.csv test=other.csv": "test=other.csv: has, beside data=pixels.csv, columns p9 ",
    "model=my_vae:pair data=pixels.csv test=text.csv": "test=text.csv: column p3 holds no numbers",
    "model=my_vae:pair data=pixels.csv data.decimal=;": "data.decimal=;: expected point or comma or null",
    "model=my_vae:pair data=both.npz sede=1": "sede: unknown key; did you mean seed?",
    "model=my_vae:pair data=both.npz seed=-1": "seed=-1: expected an integer >= 0",
    "model=my_vae:pair data=both.npz range=1": "range=1: expected two numbers",
    "model=my_vae:pair data=both.npz out=my_vae.py": "my_vae.py is a file; expected a folder",
    "model=my_vae:pair data=both.npz out=.": "holds other files",
    "model=my_vae:pair data=both.npz --seed": "--seed: expected a value",
    "model=my_vae:pair data=both.npz seed=": "seed=: expected a value",
    "my_vae:pair data=both.npz": "my_vae:pair: expected key=value",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_one_line_and_writes_nothing(words, here, capsys):
    before = {p.name for p in here.iterdir()}
    assert invoke("audit", *words.split()) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert line.startswith("priorgap: ") and BAD[words] in line
    assert {p.name for p in here.iterdir()} - before <= {"__pycache__"}


def test_health_stops_it_with_status_1_and_a_report(here, capsys):
    assert invoke("audit", "model=my_vae:constant", "data=both.npz", *FEW, "out=a") == 1
    assert capsys.readouterr().out.startswith("Do this: Train the model, or let decode use z, first")
    assert Path("a/report.html").is_file()


def test_a_list_of_metrics_and_images_as_the_model_has_them(here):
    Path("wide.py").write_text(
        "from my_vae import encode, decode\n"
        "def load():\n"
        "    to, back = (lambda x: (x + 1) / 2), (lambda x: 2 * x - 1)\n"
        "    return (lambda x: encode(to(x.permute(0, 3, 1, 2)))), (lambda z: back(decode(z)).permute(0, 2, 3, 1))\n"
    )
    with np.load("both.npz") as arrays:
        wide = {name: 2.0 * arrays[name][..., None] / 255 - 1 for name in ("x_train", "x_test")}
        np.savez("my digits (1).npz", **wide)
    few = ("samplers=prior,gaussian_full", "features=pixels", "n=100")
    assert (
        invoke("audit", "model=wide:load", "data=my digits (1).npz", "metrics=standard", *few, "out=a") == 0
    )
    assert invoke("audit", "model=my_vae:pair", "data=both.npz", "metrics=rate,fid", *few, "out=b") == 0
    a, b = values("a"), values("b")
    # of the standard metrics some were not named
    assert b.keys() < a.keys()
    assert all(float(a[key]) == pytest.approx(float(b[key]), rel=1e-4) for key in b)


def test_a_fault_of_ours_keeps_its_traceback(here, monkeypatch):
    from priorgap.comparison import real_data as module

    def broken(*given, **named):
        raise RuntimeError("ours")

    monkeypatch.setattr(module, "real_features", broken)
    with pytest.raises(RuntimeError, match="ours"):
        invoke("audit", "model=my_vae:pair", "data=both.npz", *FEW)


def test_help(capsys):
    assert invoke("audit", "--help") == 0
    assert "model=MODULE:FACTORY" in capsys.readouterr().out
    assert invoke("--help") == 0
    assert "\n  audit " in capsys.readouterr().out
