"""The notebooks as files, and the recipe that runs them; `make notebooks` runs the notebooks themselves."""

import ast
import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from recipes.run_notebooks import (
    FOLDER,
    METADATA,
    ROOT,
    NotebookError,
    cleaned,
    environment,
    find_notebooks,
    main,
    run_notebook,
    texts,
)

NAMES = (
    "1_segment_a_video",
    "2_train_the_adapters",
    "3_baseline_tables",
    "4_ablations",
    "5_bring_your_own_encoder",
)
LONGEST_CELL = 20  # lines
LARGEST_FOLDER = 2_500_000  # bytes


@pytest.fixture(params=NAMES)
def notebook(request):
    return nbformat.read(FOLDER / f"{request.param}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_folder_holds_five_notebooks_of_modest_size():
    assert [path.stem for path in find_notebooks()] == list(NAMES)
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < LARGEST_FOLDER


def test_a_notebook_is_valid_and_names_its_cells(notebook):
    nbformat.validate(notebook)
    names = [cell.id for cell in notebook.cells]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)
    assert notebook.cells[0].source.startswith("# ")
    assert notebook == cleaned(notebook)


def test_cells_are_short_and_compile(notebook):
    for cell in code_cells(notebook):
        ast.parse(cell.source)
        assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.id


def test_prose_stands_between_the_cells(notebook):
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    assert 3 * len(prose) >= len(code_cells(notebook))
    assert any("moca " in cell.source and "```" in cell.source for cell in prose)  # the command for the same


def test_outputs_are_those_of_one_run_from_top_to_bottom(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in kinds and kinds
    assert not [cell.id for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)


def test_outputs_hold_no_path_or_address_of_a_machine(notebook):
    for cell, text in texts(notebook):
        assert str(ROOT) not in text and not re.search(r"/tmp/|/home/|site-packages| at 0x[0-9a-f]{6}", text), cell.id


def test_links_lead_somewhere(notebook):
    links = [link for cell in notebook.cells for link in re.findall(r"\]\(([^)#:]+)\)", cell.source)]
    assert links and all((FOLDER / link).exists() for link in links)


def test_a_score_is_never_shown_without_muted_and_swapped(notebook):
    tables = [text for _, text in texts(notebook) if re.search(r"\| (mean IoU|MS3 mIoU|mIoU)\b", text)]
    assert tables
    for text in tables:
        assert "muted" in text and "swapped" in text and "frozen" in text


# The recipe, on a notebook of two cells.


@pytest.fixture
def written(tmp_path):
    """written(source of cell 2) -> the path of a notebook that has not been run."""

    def write(source):
        cells = [new_markdown_cell("# A", id="a"), new_code_cell("x = 20", id="first")]
        cells.append(new_code_cell(source, id="second", metadata={"scrolled": True}))
        path = tmp_path / "tiny.ipynb"
        path.write_text(nbformat.writes(new_notebook(cells=cells, metadata={"widgets": {}})))
        return path

    return write


def test_outputs_are_written_and_nothing_that_changes_from_run_to_run(written):
    path = written("import os\nprint(x + 1, os.environ['HF_HUB_OFFLINE'])")
    assert run_notebook(path) > 0
    first, document = path.read_bytes(), json.loads(path.read_text())
    assert document["metadata"] == METADATA
    assert [cell["id"] for cell in document["cells"]] == ["a", "first", "second"]
    assert all(cell["metadata"] == {} for cell in document["cells"])
    assert document["cells"][2]["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["21 1\n"]}]
    run_notebook(path)
    assert path.read_bytes() == first


def test_check_runs_and_writes_nothing(written, capsys):
    path = written("print(x + 1)")
    before = path.read_bytes()
    assert main(["--check", str(path)]) == 0
    assert path.read_bytes() == before
    assert re.fullmatch(r"tiny: \d+ s\n", capsys.readouterr().out)


@pytest.mark.parametrize("check", [True, False])
def test_an_error_is_one_line_with_the_name_of_the_cell(written, capsys, check):
    path = written("raise ValueError('two\\nlines')")
    before = path.read_bytes()
    assert main([*(["--check"] if check else []), str(path)]) == 1
    assert capsys.readouterr().err == "error: tiny, cell second failed: ValueError: two lines\n"
    assert path.read_bytes() == before


def test_paths_of_this_machine_are_refused(written):
    path = written(f"print({str(ROOT / 'docs')!r})")
    before = path.read_bytes()
    with pytest.raises(NotebookError) as refused:
        run_notebook(path)
    assert str(refused.value) == (
        f"tiny, cell second shows the path of the repository, {ROOT}; show it relative to its folder."
    )
    assert path.read_bytes() == before


def test_a_cell_that_hangs_is_stopped(written):
    path = written("import time\ntime.sleep(600)")
    with pytest.raises(NotebookError, match=r"^tiny, cell second failed: it ran for more than 1 s$"):
        run_notebook(path, timeout_s=1)


def test_notebooks_are_found_by_number_name_and_path(tmp_path, written):
    for name in ("1_one", "2_two"):
        (tmp_path / f"{name}.ipynb").write_text("{}")
    one, two = tmp_path / "1_one.ipynb", tmp_path / "2_two.ipynb"
    assert find_notebooks(folder=tmp_path) == [one, two]
    assert find_notebooks(["2", "1_one", "1_one.ipynb"], tmp_path) == [two, one, one]
    other = written("x")
    assert find_notebooks([str(other)], FOLDER) == [other]
    with pytest.raises(NotebookError) as refused:
        find_notebooks(["3"], tmp_path)
    assert str(refused.value) == (
        "a notebook must be one of 1_one, 2_two, tiny, got '3'; choose one of them, or give a path."
    )


def test_a_kernel_gets_no_more_threads_than_there_are_processors(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert environment(tmp_path)["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert environment(tmp_path)["OMP_NUM_THREADS"] == "1"
