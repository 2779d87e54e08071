"""Every code cell of every notebook runs, in order, on an ingested data set."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("source", ["libero", "video"])
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run(
    notebook: Path,
    source: str,
    datasets: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mpl.use("Agg")
    monkeypatch.setenv("VPDATA_SET", str(datasets[source]))
    scope: dict[str, Any] = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{notebook.name}:{cell['id']}", "exec"), scope)
    plt.close("all")
    assert scope["window"].frame_mask.all()
    assert "(4, 64, 64, 3)" in capsys.readouterr().out


def test_there_are_notebooks_to_run() -> None:
    assert NOTEBOOKS
