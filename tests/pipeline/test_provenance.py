"""provenance.json of a report names the processor of its models; results of earlier versions have none."""

import json
import shutil

from tiny_study import TINY

from priorgap.core.processor import processor


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
