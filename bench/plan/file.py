"""A plan in a file: what to run, in TOML; docs/plan.md says how it is written."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PositiveInt, ValidationError, field_validator

from bench.errors import BenchError, close_to, did_you_mean
from bench.plan.quantities import megabytes, seconds


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodTable(_Table):
    """A method, with what differs from its defaults."""

    name: str
    preset: str | None = None
    params: dict[str, JsonValue] = Field(default_factory=dict)


class Settings(_Table):
    """Settings that a task may give for itself, or the file for all its tasks."""

    datasets: list[str] = Field(default_factory=list)
    seeds: PositiveInt | None = None
    split_seeds: PositiveInt = 1
    sim_seeds: PositiveInt = 1
    threads: PositiveInt = 1
    timeout: str = "1h"
    memory: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"

    @field_validator("timeout", "memory")
    @classmethod
    def _quantity(cls, value: str | None, info: Any) -> str | None:
        try:
            seconds(str(value)) if info.field_name == "timeout" else megabytes(value)
        except BenchError as error:
            raise ValueError(f"{error.what}: {error.fix}") from error
        return value


class TaskTable(Settings):
    """A task and what runs on it."""

    name: str
    tracks: list[str] = Field(default_factory=list)
    methods: list[MethodTable] = Field(default_factory=lambda: [MethodTable(name="all")])

    @field_validator("methods", mode="before")
    @classmethod
    def _by_name(cls, methods: object) -> object:
        return [{"name": m} if isinstance(m, str) else m for m in methods] if isinstance(methods, list) else methods


class PlanFile(Settings):
    """The whole file.

    Parameters
    ----------
    out
        Run folder of all tasks.
    task
        What to run, one table a task; a task may stand there several times.
    """

    out: str | None = None
    plugins: list[str] = Field(default_factory=list)
    task: list[TaskTable] = Field(min_length=1)


#: Keys of the file that hold for every task which does not say otherwise.
SHARED = tuple(Settings.model_fields)


class PlanText:
    """A plan and the text it was read from, which tells where something stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._lines = path.read_text(encoding="utf-8").splitlines()
            raw = tomllib.loads("\n".join(self._lines))
        except (OSError, UnicodeDecodeError) as error:
            from bench.system import path_hint

            fix = "write it as UTF-8" if isinstance(error, UnicodeDecodeError) else path_hint(path)
            fix = "name the file in this folder" if path.is_dir() else fix
            raise BenchError("the plan cannot be read", where=str(path), fix=fix) from error
        except tomllib.TOMLDecodeError as error:
            raise BenchError(f"this is no TOML: {error}", where=str(path), fix="see docs/plan.md") from error
        shared = {key: raw[key] for key in SHARED if key in raw}
        if isinstance(raw.get("task"), list):
            raw["task"] = [shared | task if isinstance(task, dict) else task for task in raw["task"]]
        try:
            self.plan = PlanFile.model_validate(raw)
        except ValidationError as error:
            raise self._refused(error) from error

    def where(self, task: int | None, *words: object) -> str:
        """File, line and task of the first of ``words`` that stands in a task's table, or of the table."""
        headers = [i for i, line in enumerate(self._lines) if re.match(r"\s*\[\[\s*task\s*\]\]", line)]
        start, end = 0, len(self._lines)
        if task is not None and task < len(headers):
            start, end = headers[task], [*headers, end][task + 1]
        for word in words:
            pattern = re.compile(rf"(?<![\w-]){re.escape(str(word))}(?![\w-])")
            # What a task does not say itself, the file says before all tasks.
            for i in [*range(start, end), *range(headers[0] if headers else 0)]:
                if pattern.search(self._lines[i].partition("#")[0]):
                    return f"{self.path}, line {i + 1}"
        return f"{self.path}, line {start + 1}"

    def _refused(self, error: ValidationError) -> BenchError:
        first = error.errors()[0]
        place = first["loc"]
        keys = [part for part in place if isinstance(part, str)]
        task = place[1] if place[0] == "task" and len(place) > 1 and isinstance(place[1], int) else None
        where = self.where(task, keys[-1])
        if first["type"] == "extra_forbidden":
            table = {"methods": MethodTable}.get(keys[-2] if len(keys) > 1 else "", TaskTable if keys[1:] else PlanFile)
            known = list(table.model_fields)
            close = close_to(keys[-1], known)
            fix = did_you_mean(close) if close else f"known: {', '.join(known)}"
            return BenchError(f"unknown key {keys[-1]!r}", where=where, fix=fix)
        if first["type"] == "missing":
            what = "a task" if keys == ["task"] else f"{keys[-1]!r} of {'a method' if 'methods' in keys else 'a task'}"
            fix = "write [[task]] and below it name = ..." if keys == ["task"] else f"write {keys[-1]} = ..."
            return BenchError(f"{what} is missing", where=where, fix=fix)
        if keys == ["task"]:
            return BenchError("tasks are a list of tables", where=where, fix="write [[task]], with two brackets")
        key = ".".join(part for part in keys if part != "task")
        if first["type"] == "value_error":
            return BenchError(f"{key}: {first['ctx']['error']}", where=where, fix="see docs/plan.md")
        fix = "see docs/plan.md"
        if first["type"] == "list_type" and isinstance(first["input"], str):
            fix = f"write {keys[-1]} = {_toml([first['input']])}"
        return BenchError(f"{key}: {first['msg']}, not {first['input']!r}", where=where, fix=fix)


def as_toml(plan: PlanFile) -> str:
    """A plan as text; what is as by default is left out."""
    lines = [f"{key} = {_toml(value)}" for key, value in plan.model_dump(include={"out", "plugins"}).items() if value]
    for task in plan.task:
        table = task.model_dump(exclude_defaults=True)
        methods = table.pop("methods", ())
        first = {key: table.pop(key) for key in ("name", "tracks", "datasets") if key in table}
        lines += ["", "[[task]]", *(f"{key} = {_toml(value)}" for key, value in (first | table).items())]
        if methods:
            names = [method["name"] if method.keys() == {"name"} else method for method in methods]
            lines += ["methods = [", *(f"  {_toml(method)}," for method in names), "]"]
    return "\n".join(lines).lstrip("\n") + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(name)} = {_toml(of)}' for name, of in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if value is None:
        raise BenchError("TOML has no null", where="--write-plan", fix="leave that parameter out of --set")
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
