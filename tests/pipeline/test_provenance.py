"""provenance.json of a report names the processor of its models; results of earlier versions have none."""

import json
import shutil

from tiny_study import TINY

from priorgap.core.processor import processor
from priorgap.pipeline.store.provenance import environment


def test_the_processor_is_named_and_results_without_it_are_read(tiny, tmp_path, run, capsys):
    shutil.copytree(tiny / "outputs", tmp_path / "outputs")

    def models() -> dict[str, str]:
        assert run("report", *TINY, "study=tiny", "tracking=off") == 0, capsys.readouterr().err
        found = json.loads((tmp_path / "outputs/tiny/report/provenance.json").read_text(encoding="utf-8"))
        return dict(found["models"])

    assert models()["processor"] == processor()
    manifests = sorted((tmp_path / "outputs/tiny/train").glob("[!.]*/manifest.json"))
    assert manifests
    for manifest in manifests:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        assert content["provenance"].pop("processor") == processor()
        manifest.write_text(json.dumps(content), encoding="utf-8")
    assert models()["processor"] == "not recorded" and models()["python"]


def test_settings_of_the_kernels_are_recorded_where_there_are_any(monkeypatch):
    found = []
    for setting in ("avx2", None):
        for name in ("ATEN_CPU_CAPABILITY", "MKL_CBWR"):
            monkeypatch.delenv(name, raising=False)
        if setting:
            monkeypatch.setenv("ATEN_CPU_CAPABILITY", setting)
        # environment() itself is asked once a process
        found.append(environment.__wrapped__()["kernels"])
    assert found == ["ATEN_CPU_CAPABILITY=avx2", ""]
