"""A running process takes changed catalogue files up, and goes on with the last good ones when they are broken."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.schemas.test_catalogue_files import MODEL

from tokentide_schemas.catalogue.watching import CatalogueFiles


def test_a_new_model_in_a_new_file_of_the_folder_is_noticed_once(tmp_path: Path) -> None:
    files = CatalogueFiles([tmp_path])
    assert files.changed() is None
    (tmp_path / "own.yaml").write_text(MODEL)
    catalogue = files.changed()
    assert catalogue is not None and catalogue.model("acme/rocket-7b") is not None
    assert files.changed() is None


def test_broken_files_are_said_once_and_mended_ones_are_taken_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(MODEL)
    files = CatalogueFiles([file])
    file.write_text(MODEL.replace("usd_per_million_tokens", "usd_per_token"))
    with caplog.at_level(logging.ERROR):
        assert (files.changed(), files.changed()) == (None, None)
    assert len(caplog.records) == 1 and "usd_per_token" in caplog.text
    file.write_text(MODEL + "\n")
    assert files.changed() is not None


def test_a_file_that_is_gone_is_a_change(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(MODEL if name == "a" else MODEL.replace("acme", "emca"))
    files = CatalogueFiles([tmp_path])
    (tmp_path / "b.yaml").unlink()
    catalogue = files.changed()
    assert catalogue is not None and catalogue.model("emca/rocket-7b") is None
