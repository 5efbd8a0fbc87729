"""Every kind of picture file can be opened; a file without rights is reported."""

import os
from pathlib import Path

import pytest
from drawing import draw, picture_files, read

from common import cli
from handwriting import pictures


@pytest.mark.parametrize("name", picture_files())
def test_every_kind_of_picture_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(picture_files()[name])
    image = pictures.open_picture(str(tmp_path / name))
    assert image.size == draw([[7]]).size
    assert read(image) == ["7"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_rights_is_told(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(picture_files()["grey.png"])
    path.chmod(0)
    with pytest.raises(cli.UserError, match="Permission denied"):
        pictures.open_picture(str(path))
