"""The name of the processor: brand, model, and the instructions that decide a product's bits."""

import platform

from priorgap.core.processor import described, processor


def test_brand_model_and_instructions(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel\t\t: 207\nmodel name\t: Some CPU @ 2GHz\nflags\t\t: fpu sse avx2 avx512f amx_bf16\n\n"
        "processor\t: 1\nmodel name\t: Another\n"
    )
    assert described(info) == "Some CPU @ 2GHz, model 207, avx2 avx512f amx_bf16"
    # Arm names no brand there, and says Features
    info.write_text("processor\t: 0\nFeatures\t: fp asimd sve bf16\n")
    assert described(info) == f"{platform.processor() or platform.machine()}, asimd sve bf16"


def test_without_the_file_there_is_a_name(tmp_path):
    assert described(tmp_path / "none") == (platform.processor() or platform.machine())
    assert processor()
