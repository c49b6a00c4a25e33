"""Names of a project and of the user, and how the columns that a dataset lacks are offered."""

import pytest

from bench.data import commands
from bench.data.library import add, from_path, remove, sources
from bench.errors import DataError, UnknownNameError


@pytest.fixture
def file(counts, tmp_path):
    """The counts as a file in a project's folder."""
    (tmp_path / "project" / "deeper").mkdir(parents=True)
    counts.write_h5ad(tmp_path / "project" / "a.h5ad")
    return tmp_path / "project" / "a.h5ad"


def test_a_name_holds_in_its_project_and_below_it(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    _, place, hides = commands.add(file, "mine")
    assert (place, hides) == (f"in {file.parent}", "")
    monkeypatch.chdir(file.parent / "deeper")
    assert sources()["mine"].origin == "project"
    monkeypatch.chdir(file.parent.parent)
    assert "mine" not in sources()


def test_a_project_may_move_with_its_data(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    add(file, "mine")
    file.parent.rename(file.parent.with_name("moved"))
    monkeypatch.chdir(file.parent.with_name("moved") / "deeper")
    assert sources()["mine"].load().adata.shape == (12, 6)


def test_a_project_hides_a_name_of_the_user_and_gives_it_back(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    add(file, "mine", user=True, truth="computational")
    assert sources()["mine"].origin == "user"
    _, _, hides = commands.add(file, "mine")
    assert hides == "; it hides your own mine there"
    assert (sources()["mine"].origin, sources()["mine"].card.truth) == ("project", "experimental")
    assert "hides it in" in commands.add(file, "mine", user=True, replace=True)[2]
    assert commands.remove("mine") == f"removed mine in {file.parent}; mine is your own again"
    assert commands.remove("mine") == "removed mine everywhere, for you"
    with pytest.raises(UnknownNameError):
        remove("mine")


def test_what_was_registered_for_the_user_before_there_were_projects_stays_in_sight(file, tmp_path, monkeypatch):
    monkeypatch.chdir(file.parent)
    add(file, "mine", user=True)
    assert (tmp_path / "home" / "library.json").is_file()
    monkeypatch.chdir("/")
    assert sources()["mine"].load().adata.shape == (12, 6)


def test_a_taken_name_is_replaced_when_asked_only(file):
    add(file, "mine")
    with pytest.raises(DataError, match="--replace"):
        add(file, "mine", truth="computational")
    add(file, "mine", truth="computational", replace=True)
    assert sources()["mine"].card.truth == "computational"
    with pytest.raises(DataError, match="choose another name"):
        add(file, "cohort", replace=True)


def test_a_card_tells_what_its_user_said(file):
    about = {"licence": "CC0", "organism": "human", "tissue": "nigra", "summary": "Twelve cells"}
    add(file, "mine", about=about | {"doi": "https://doi.org/10.1038/s41586-019-1195-2"})
    card = sources()["mine"].card
    assert {name: getattr(card, name) for name in about} == about
    assert card.source == "https://doi.org/10.1038/s41586-019-1195-2"
    with pytest.raises(DataError, match="no DOI"):
        add(file, "other", about={"doi": "Nature 2019"})


def test_columns_that_are_missing_are_offered_with_the_command_that_names_them(counts, tmp_path):
    counts.obs = counts.obs.rename(columns={"cell_type": "Annotation"})
    counts.obs["arm"] = ["x", "y"] * 6
    counts.write_h5ad(tmp_path / "a.h5ad")
    told = from_path(tmp_path / "a.h5ad").offer(["cell_type", "subtype"])
    assert "bench data add a.h5ad --name a --label-key Annotation --donor-key individual\n" in told
    assert "Annotation (2 values: neuron, glia)" in told
    add(tmp_path / "a.h5ad", "mine", columns={"donor": "individual"}, truth="computational", about={"tissue": "n b"})
    assert (
        "bench data add a.h5ad --name mine --replace --donor-key individual --condition-key arm "
        "--label-key Annotation --truth computational --tissue 'n b'\n"
    ) in sources()["mine"].offer(["condition"])


def test_a_column_without_a_telling_name_is_offered_if_no_other_could_be_meant(counts, tmp_path):
    counts.obs["cell_type_of_ours"] = counts.obs.pop("cell_type")
    counts.obs = counts.obs.drop(columns="individual")
    counts.write_h5ad(tmp_path / "a.h5ad")
    assert "--label-key cell_type_of_ours\n" in from_path(tmp_path / "a.h5ad").offer(["cell_type"])
    counts.obs["leiden"] = ["0", "1"] * 6
    counts.write_h5ad(tmp_path / "b.h5ad")
    told = from_path(tmp_path / "b.h5ad").offer(["cell_type"])
    assert "--label-key COLUMN\n" in told
    assert "leiden (2 values: 0, 1)" in told
    counts.obs = counts.obs[[]]
    counts.write_h5ad(tmp_path / "c.h5ad")
    assert from_path(tmp_path / "c.h5ad").offer(["cell_type"]).startswith("the file has no columns: join your table")


def test_of_a_path_that_is_not_there_the_near_ones_are_told(file):
    folder = file.parent
    for wrong, right in (("A.H5AD", "a.h5ad"), ("a.h5", "a.h5ad"), ("deper/a.h5ad", "deeper")):
        with pytest.raises(DataError) as error:
            from_path(folder / wrong)
        assert f"did you mean '{folder / right}'?" == error.value.fix
    with pytest.raises(DataError, match=f"check the path: there is no {folder}/q"):
        from_path(folder / "q" / "b.h5ad")
