"""R packages found on disk, without R."""

import pytest

from bench.environments import r_packages
from bench.environments.installed import installed_version
from bench.method import Method, r_package
from bench.plan import keys


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package into a library of R, and name the library by a variable, or find it where R has the user's."""
    for name in ("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(r_packages, "_SYSTEM", (str(tmp_path / "system"),))
    monkeypatch.setattr("shutil.which", lambda program: None)

    def put(package, version, *, library="system", needs="", priority=""):
        folder = tmp_path / library / package
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"Package: {package}", f"Version: {version}", needs, f"Priority: {priority}" if priority else ""]
        (folder / "DESCRIPTION").write_text("\n".join(filter(None, lines)) + "\n")

    put("base", "4.5.0", priority="base")
    r_packages.versions.cache_clear()
    yield put
    r_packages.versions.cache_clear()


def test_the_users_own_library_is_searched_as_r_does(install, monkeypatch, tmp_path):
    install("mine", "2.0", library="R/x86_64-pc-linux-gnu-library/4.5")
    install("old", "1.0", library="R/x86_64-pc-linux-gnu-library/4.2")
    install("mine", "1.0")
    assert r_packages.version("mine") == "2.0"
    assert r_packages.version("old") == ""
    install("mine", "3.0", library="elsewhere/4.5")
    monkeypatch.setenv("R_LIBS_USER", str(tmp_path / "elsewhere" / "%v"))
    assert installed_version(r_package("mine", install="")) == "3.0"
    install("mine", "4.0", library="first")
    monkeypatch.setenv("R_LIBS", str(tmp_path / "first"))
    assert r_packages.version("mine") == "4.0"


def test_all_that_a_package_needs_is_named_with_its_version(install):
    install(
        "one", "1.0", needs="Depends: R (>= 4.0.0), methods\nImports: two,\n        three (>= 2.1),\n        absent"
    )
    install("two", "2.0", needs="LinkingTo: four")
    install("three", "3.0", needs="Imports: two, one")
    install("four", "4.0-1")
    install("methods", "4.5.0", priority="base")
    assert r_packages.versions("one") == {"R": "4.5.0", "four": "4.0-1", "one": "1.0", "three": "3.0", "two": "2.0"}


def test_a_newer_need_of_a_needed_package_makes_another_environment(install):
    class Wrapper(Method):
        name, tasks, summary = "wrapper", ("t",), "s"
        requires = (r_package("one", install=""),)

        def run(self, inputs, ctx):
            return {}

    install("one", "1.0", needs="Imports: two")
    install("two", "2.0")
    before = keys.environment_digest(Wrapper)
    install("two", "2.1")
    r_packages.versions.cache_clear()
    assert keys.environment_digest(Wrapper) != before
