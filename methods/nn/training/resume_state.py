"""Everything a killed training needs to go on identically, written so that a half-written one is never read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from bench.errors import BenchError
from bench.methods.nn.training.fitting import DivergedError, Fitting

_KEPT = 2


class ResumeStates:
    """Resume states of one training in ``folder``, the newest two kept.

    Parameters
    ----------
    folder
        Made when the first resume state is written.
    identity
        What must be the same for a training to be the same one: training configuration, sizes, data, seed (JSON).
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder, self.identity = folder, json.loads(json.dumps(identity))

    def save(self, fitting: Fitting) -> None:
        """Write model, optimiser and step number.

        Raises
        ------
        BenchError
            If the disk is full; earlier resume states are untouched.
        DivergedError
            If a parameter is not finite: such a state would be of no use.
        """
        tensors = _tensors(fitting)
        if not all(bool(t.isfinite().all()) for t in tensors.values() if t.is_floating_point()):
            raise DivergedError("a parameter is no longer a number", where=f"step {fitting.step}", fix="lower --lr")
        final = self.folder / f"step-{fitting.step:09d}"
        partial = self.folder / f".{final.name}"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            write_tensors(partial / "state.safetensors", tensors)
            facts = {
                "step": fitting.step,
                "identity": self.identity,
                "sha256": file_digest(partial / "state.safetensors"),
            }
            (partial / "snapshot.json").write_text(json.dumps(facts, indent=1))
            if not final.exists():
                partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for old in self._folders()[:-_KEPT]:
            shutil.rmtree(old)

    def restore(self, fitting: Fitting) -> bool:
        """Continue from the newest whole resume state; false if there is none.

        Raises
        ------
        BenchError
            If the folder holds resume states of another training.
        """
        for folder in reversed(self._folders()):
            state = folder / "state.safetensors"
            try:
                facts = json.loads((folder / "snapshot.json").read_text())
                step, identity = int(facts["step"]), dict(facts["identity"])
                whole = facts["sha256"] == file_digest(state)
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if not whole:
                continue
            if identity != self.identity:
                changed = sorted(
                    key for key in {*identity, *self.identity} if identity.get(key) != self.identity.get(key)
                )
                raise BenchError(
                    f"the folder holds an unfinished training that differs in: {', '.join(changed)}",
                    where=str(self.folder.parent),
                    fix="give the same arguments as before to go on, or another --out to start anew",
                )
            _load(fitting, load_file(state))
            fitting.step = step
            return True
        return False

    def remove(self) -> None:
        """Forget them all; what else lies in the folder stays."""
        for old in [*self._folders(), *self.folder.glob(".step-*")]:
            shutil.rmtree(old, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


def write_tensors(file: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file; a full disk is an error that says so."""
    try:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, file, dict(metadata or {}))
    except (SafetensorError, OSError) as error:
        file.unlink(missing_ok=True)
        raise BenchError(
            f"the file cannot be written: {error}", where=str(file), fix="free some space, then run the command again"
        ) from error


def file_digest(file: Path) -> str:
    """sha256 of a file."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _tensors(fitting: Fitting) -> dict[str, torch.Tensor]:
    """Parameters and buffers as ``model.*``; the optimiser's state as ``optimiser.<parameter number>.*``."""
    tensors = {f"model.{name}": tensor for name, tensor in fitting.bare.state_dict().items()}
    for number, state in fitting.optimiser.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimiser.{number}.{name}"] = torch.as_tensor(value)
    return tensors


def _load(fitting: Fitting, tensors: Mapping[str, torch.Tensor]) -> None:
    fitting.bare.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = tensor
    groups = fitting.optimiser.state_dict()["param_groups"]
    fitting.optimiser.load_state_dict({"state": state, "param_groups": groups})
