import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from bench.data import _builtin, library
from bench.data._builtin import CohortSource
from bench.data._columns import map_columns
from bench.data._lookalikes import lookalikes
from bench.data.commands import simulate_to
from bench.data.library import add, from_path, remove, sources
from bench.dataset import OBS_FIELDS
from bench.errors import BenchError, DataError, UnknownNameError
from bench.tasks.deg import DegTask

_SMALL = _builtin.CohortSpec(n_cells=40, n_genes=120, n_donors=3)


@pytest.fixture
def folder(counts, tmp_path, monkeypatch):
    """A $BENCH_DATA with one file."""
    path = tmp_path / "data"
    path.mkdir()
    counts.write_h5ad(path / "mine.h5ad")
    entry = {
        "file": "mine.h5ad",
        "sha256": hashlib.sha256((path / "mine.h5ad").read_bytes()).hexdigest(),
        "cells": 12,
        "genes": 6,
        "obs": list(counts.obs.columns),
        "n_donors": 2,
        "columns": {"donor": "individual"},
        "source": {"accession": "GSE1", "licence": "CC0", "tissue": "cortex", "labels": "authors"},
    }
    (path / "MANIFEST.json").write_text(json.dumps([entry]))
    monkeypatch.setenv("BENCH_DATA", str(path))
    return path


def _change(folder, **fields):
    path = folder / "MANIFEST.json"
    path.write_text(json.dumps([json.loads(path.read_text())[0] | fields]))


def test_listing_imports_nothing_heavy():
    code = "import sys, bench.data.library as l; [s.card for s in l.sources().values()]; print(sorted(sys.modules))"
    listed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"numpy", "pandas", "scipy", "anndata", "h5py", "numba"} & set(eval(listed))


def test_the_cohort_is_built_in():
    cards = {name: source.card for name, source in sources().items()}
    assert [name for name, card in cards.items() if card.builtin] == ["cohort"]
    assert cards["cohort"].truth == "generative"
    assert len(cards["cohort"].digest) == 64


def test_a_cohort_keeps_its_promises():
    source = CohortSource("small", _SMALL)
    dataset = source.load()
    assert dataset.adata.shape == (source.card.n_cells, source.card.n_genes)
    assert set(dataset.adata.obs) == source.card.fields
    assert set(dataset.adata.obs) <= set(OBS_FIELDS)
    assert dataset.adata.obs["is_doublet"].dtype == bool
    assert list(dataset.adata.var) == ["symbol"]
    assert dataset.adata.obs["donor"].nunique() == source.card.n_donors


def test_a_cohort_is_simulated_once(monkeypatch):
    source = CohortSource("small", _SMALL)
    fresh = source.load().adata
    monkeypatch.setattr("bench.data.cohort.simulate", None)
    cached = source.load().adata
    np.testing.assert_array_equal(cached.X.toarray(), fresh.X.toarray())
    assert type(cached.X) is type(fresh.X)
    assert cached.X.dtype == fresh.X.dtype
    assert cached.obs.astype(object).equals(fresh.obs.astype(object))
    assert cached.var.equals(fresh.var)


@pytest.mark.parametrize("damage", ["cut", "flipped", "no seal", "no counts", "seal of rubbish"])
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    source = CohortSource("small", _SMALL)
    fresh = source.load().adata.X.toarray()
    folder = tmp_path / "cache" / "cohorts" / _SMALL.digest[:32]
    counts, seal = folder / "counts.h5ad", folder / "seal.json"
    whole = counts.read_bytes()
    if damage == "cut":
        counts.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        counts.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    elif damage == "no counts":
        counts.unlink()
    elif damage == "no seal":
        seal.unlink()
    else:
        seal.write_text("[1]")
    np.testing.assert_array_equal(source.load().adata.X.toarray(), fresh)
    assert _builtin._is_whole(folder)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    assert CohortSource("small", _SMALL).load().adata.n_obs == 40


def test_manifest_card_and_cells(folder):
    source = sources()["mine"]
    card = source.card
    assert card.fields == {"donor", "cell_type", "is_doublet"}
    assert (card.n_cells, card.n_genes, card.n_donors) == (12, 6, 2)
    assert (card.accession, card.licence, card.caveat) == ("GSE1", "CC0", "authors")
    assert card.truth == "experimental"
    assert not card.builtin
    adata = source.load().adata
    assert set(adata.obs) == card.fields
    assert adata.shape == (12, 6)


def test_manifest_can_say_the_truth(folder):
    _change(folder, truth="computational", expected_doublet_rate=0.07)
    card = sources()["mine"].card
    assert card.truth == "computational"
    assert card.expected_doublet_rate == 0.07


def test_derived_labels_are_weak_wherever_the_file_is_named(folder, counts, tmp_path):
    assert sources()["mine"].card.weak_labels == ""
    _change(folder, obs=["derived_cell_type", "individual"])
    assert sources()["mine"].card.weak_labels == "derived labels (weak): derived_cell_type"
    _change(folder, weak_labels="made by a student")
    assert sources()["mine"].card.weak_labels == "made by a student"
    counts.obs["derived_cell_type"] = counts.obs.pop("cell_type")
    counts.uns["source"] = {"labels": "clusters of these counts"}
    counts.write_h5ad(tmp_path / "weak.h5ad")
    card = from_path(tmp_path / "weak.h5ad").card
    assert card.weak_labels == "derived labels (weak): derived_cell_type"
    assert card.caveat.startswith("clusters of these counts; ")
    assert add(tmp_path / "weak.h5ad", "weak").weak_labels == card.weak_labels == sources()["weak"].card.weak_labels


def test_hashing_without_donors(folder):
    _change(folder, obs=["is_doublet", "is_negative"], columns={}, n_donors=None)
    card = sources()["mine"].card
    assert card.fields == {"is_doublet", "exclude"}
    assert card.n_donors is None


def test_wrong_checksum(folder):
    _change(folder, sha256="0" * 64)
    with pytest.raises(DataError, match="sha256") as error:
        sources()["mine"].load()
    assert "mine.h5ad" in error.value.where


def test_missing_file(folder):
    (folder / "mine.h5ad").unlink()
    with pytest.raises(DataError, match="gone"):
        sources()["mine"].load()


@pytest.mark.parametrize(
    ("text", "what"), [("{", "cannot be read"), ("{}", "list"), ('[{"file": "a.h5ad"}]', "incomplete")]
)
def test_damaged_manifest(folder, text, what):
    (folder / "MANIFEST.json").write_text(text)
    with pytest.raises(DataError, match=what):
        sources()


def test_folder_without_manifest(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="MANIFEST.json") as error:
        sources()
    assert "unset" in error.value.fix


def test_bare_path(counts, tmp_path):
    counts.obs["individual"] = counts.obs["individual"].astype("category")
    counts.write_h5ad(tmp_path / "a.h5ad")
    source = from_path(tmp_path / "a.h5ad", columns={"donor": "individual"})
    assert (source.card.n_cells, source.card.n_genes, source.card.n_donors) == (12, 6, 2)
    assert source.card.digest == hashlib.sha256((tmp_path / "a.h5ad").read_bytes()).hexdigest()
    assert "experimental" in source.card.caveat
    assert set(source.load().adata.obs) == source.card.fields
    assert "one library" in from_path(tmp_path / "a.h5ad").card.caveat


def test_what_was_taken_unasked_is_told_and_what_looks_like_a_missing_column(counts, tmp_path):
    counts.obs = counts.obs.rename(columns={"individual": "donor_id", "cell_type": "Cell.Annotation"})
    counts.obs["is_negative"] = [True] * 3 + [False] * 9
    counts.obs["Diagnosis"] = ["AD", "control"] * 6
    counts.write_h5ad(tmp_path / "a.h5ad")
    card = add(tmp_path / "a.h5ad", "mine")
    assert card.fields == {"donor", "is_doublet", "exclude"}
    assert card.n_values == {"donor": 2, "is_doublet": 1, "exclude": 3}
    for said in (
        "donor is taken from obs['donor_id']",
        "exclude is taken from obs['is_negative'] (3 cells left out)",
        "no condition column (Diagnosis looks like conditions: bench data add --condition-key Diagnosis)",
        "no cell_type column (Cell.Annotation looks like cell types: bench data add --label-key Cell.Annotation)",
    ):
        assert said in card.caveat
    assert library.column_lines("mine") == [
        "columns:  donor from obs['donor_id']; is_doublet from obs['is_doublet']; "
        "exclude from obs['is_negative'] (3 cells left out)",
        "not used: Cell.Annotation (looks like cell types: --label-key Cell.Annotation), "
        "Diagnosis (looks like conditions: --condition-key Diagnosis), score",
    ]
    keys = {"donor": "donor_id", "exclude": "is_negative", "condition": "Diagnosis", "cell_type": "Cell.Annotation"}
    card = add(tmp_path / "a.h5ad", "chosen", columns=keys)
    assert "taken from" not in card.caveat
    assert "looks like" not in card.caveat
    assert card.n_values["condition"] == card.n_values["cell_type"] == 2


@pytest.mark.parametrize(
    ("column", "field"),
    [
        *[(name, "donor") for name in ("individual", "Patient", "patient_id", "subject", "sample", "orig.ident")],
        *[(name, "condition") for name in ("Diagnosis", "disease", "disease_status", "group", "Treatment")],
        *[(name, "cell_type") for name in ("annotation", "majorCellType", "cell.label", "Class")],
        *[("doublet", "is_doublet"), ("HTO_classification.global", "is_doublet"), ("outlier", "exclude")],
        *[(name, None) for name in ("total_counts", "sex", "age", "leiden", "n_genes", "pct_mt", "donation")],
    ],
)
def test_columns_that_look_like_a_field(column, field):
    mapping = map_columns([column])
    assert mapping == {}
    assert lookalikes([column], mapping) == ({column: field} if field else {})


@pytest.mark.parametrize(
    ("column", "field"),
    [
        *[(name, "cell_type") for name in ("CellType", "celltype", "cell.type", "Cell Type", "CELL_TYPE")],
        *[(name, "donor") for name in ("Donor", "donor_id", "donorID", "Donor ID")],
        *[("Condition", "condition"), ("isDoublet", "is_doublet"), ("Batch", "batch")],
    ],
)
def test_a_fields_own_name_is_known_however_it_is_spelt(column, field):
    assert map_columns([column, "score"]) == {field: column}


def test_of_two_spellings_none_is_taken_unless_one_is_the_fields_own():
    assert map_columns(["CellType", "celltype"]) == {}
    assert map_columns(["CellType", "cell_type"]) == {"cell_type": "cell_type"}


def test_beside_a_fields_column_only_names_like_its_own_are_told():
    columns = ["donor", "donor_id", "sample", "patient"]
    assert lookalikes(columns, map_columns(columns)) == {"donor_id": "donor"}


def test_for_a_field_of_one_value_other_columns_are_offered(counts, tmp_path):
    counts.obs["condition"], counts.obs["Diagnosis"] = "control", ["AD", "control"] * 6
    counts.write_h5ad(tmp_path / "a.h5ad")
    add(tmp_path / "a.h5ad", "mine")
    assert "Diagnosis (looks like conditions: --condition-key Diagnosis)" in library.column_lines("mine")[1]


def test_a_missing_column_is_answered_with_those_that_look_like_it(counts, tmp_path):
    counts.obs["annotation"] = "a"
    counts.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(DataError) as error:
        from_path(tmp_path / "a.h5ad").columns(["donor"])
    assert "individual looks like donors" in error.value.fix
    with pytest.raises(DataError, match="'patient'") as error:
        from_path(tmp_path / "a.h5ad", columns={"donor": "patient"})
    assert "individual looks like donors" in error.value.fix


def test_cells_with_few_counts_are_told_unless_they_are_left_out(counts, tmp_path):
    counts.X = counts.X * 50
    counts.X[:3] = (counts.X[:3] > 0).astype(np.float32)
    counts.write_h5ad(tmp_path / "a.h5ad")
    caveat = add(tmp_path / "a.h5ad", "mine").caveat
    assert caveat.startswith("WARNING 3 of 12 cells have fewer than 100 counts of 6 genes: empty droplets or debris")
    assert "`exclude`" in caveat
    assert "scored" not in caveat  # tracks after the paper's code leave such cells out, and `bench deg` scores nothing
    counts.obs["exclude"] = np.arange(12) < 3
    counts.write_h5ad(tmp_path / "b.h5ad")
    assert "WARNING" not in add(tmp_path / "b.h5ad", "marked").caveat


def test_labels_that_say_none_are_no_values(counts, tmp_path):
    counts.obs["condition"] = ["control"] * 9 + ["unknown", "NA", "Unassigned"]
    counts.write_h5ad(tmp_path / "a.h5ad")
    card = from_path(tmp_path / "a.h5ad").card
    assert card.n_values["condition"] == 1
    assert DegTask().why_not(card, "subsample") == "1 condition: there are no two arms to compare"


def test_bare_path_to_a_cohort_of_ours(tmp_path):
    simulate_to(tmp_path / "c.h5ad", _SMALL)
    card = from_path(tmp_path / "c.h5ad").card
    assert card.truth == "generative"
    assert card.caveat == ""
    assert from_path(tmp_path / "c.h5ad").load().adata.n_obs == 40


def test_bare_path_that_changes_under_us(counts, tmp_path):
    counts.write_h5ad(tmp_path / "a.h5ad")
    source = from_path(tmp_path / "a.h5ad")
    counts[:5].copy().write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(DataError, match="not the registered ones"):
        source.load()


@pytest.mark.parametrize("name", ["none.h5ad", "half.h5ad", "a.txt"])
def test_bare_path_to_nothing_good(tmp_path, name):
    if name != "none.h5ad":
        (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\nrubbish")
    with pytest.raises(DataError):
        from_path(tmp_path / name)


def test_add_and_remove(counts, tmp_path):
    path = tmp_path / "a.h5ad"
    counts.write_h5ad(path)
    before = path.read_bytes()
    card = add(path, "mine", columns={"donor": "individual"}, truth="computational", expected_doublet_rate=0.05)
    assert sources()["mine"].card == card
    assert sorted(sources()["mine"].card.fields) == ["cell_type", "donor", "is_doublet"]
    assert sources()["mine"].load().adata.shape == (12, 6)
    assert path.read_bytes() == before
    with pytest.raises(DataError, match="already"):
        add(path, "mine")
    with pytest.raises(DataError, match="already"):
        add(path, "cohort")
    remove("mine")
    assert "mine" not in sources()
    assert path.exists()


def test_add_checks_first(counts, tmp_path):
    counts.X = counts.X * 0.3
    counts.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(DataError, match="not integer"):
        add(tmp_path / "a.h5ad", "mine")
    assert "mine" not in sources()


@pytest.mark.parametrize("name", ["", "a/b", "a,b", " a"])
def test_names_that_cannot_be_typed(tmp_path, name):
    with pytest.raises(DataError, match="cannot be a name"):
        add(tmp_path / "a.h5ad", name)


def test_remove_what_is_not_ours(folder):
    for name in ("cohort", "mine"):
        with pytest.raises(BenchError, match="not added by you"):
            remove(name)
    with pytest.raises(UnknownNameError):
        remove("minee")


def test_unknown_truth(counts, tmp_path):
    counts.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(UnknownNameError):
        from_path(tmp_path / "a.h5ad", truth="sure")


def test_one_name_twice(folder, counts, tmp_path):
    counts.write_h5ad(tmp_path / "a.h5ad")
    (folder / "MANIFEST.json").rename(folder / "away")
    (folder / "MANIFEST.json").write_text("[]")
    add(tmp_path / "a.h5ad", "mine")
    (folder / "away").replace(folder / "MANIFEST.json")
    with pytest.raises(DataError, match="two datasets"):
        sources()


def test_damaged_library(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "library.json").write_text('{"x": {"path": "y"}}')
    with pytest.raises(DataError, match="damaged"):
        sources()


def test_simulate_to_refuses_to_overwrite(tmp_path):
    assert simulate_to(tmp_path / "sub" / "c.h5ad", _SMALL)[:2] == (40, 120)
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["c.h5ad"]
    with pytest.raises(BenchError, match="exists"):
        simulate_to(tmp_path / "sub" / "c.h5ad", _SMALL)
    with pytest.raises(BenchError, match="h5ad"):
        simulate_to(tmp_path / "c.txt", _SMALL)


def test_hashes_are_remembered_by_size_and_time(counts, tmp_path, monkeypatch):
    counts.write_h5ad(tmp_path / "a.h5ad")
    first = library.digest(tmp_path / "a.h5ad")
    monkeypatch.setattr("bench.data._files.file_digest", lambda path: "other")
    assert library.digest(tmp_path / "a.h5ad") == first
    (tmp_path / "a.h5ad").write_bytes(b"changed")
    assert library.digest(tmp_path / "a.h5ad") == "other"
