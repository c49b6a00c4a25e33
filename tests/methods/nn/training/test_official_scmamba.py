"""The authors' layout is written here from its description, with its own names; the converter is not consulted."""

import json
import sys
import types

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from bench.cli import with_commands
from bench.errors import BenchError
from bench.methods.nn.models.scmamba import cell_classifier
from bench.methods.nn.models.weights import load_pretrained_weights
from bench.methods.nn.training.checkpoint import load_pretrained
from bench.methods.nn.training.official_scmamba import PRETRAINED_ON, import_official
from bench.methods.scmamba import ScMamba

GENES, D, LAYERS, STATES = 13, 32, 2, 8
ROWS = 1024  # 1,005 reserved words and 13 genes, padded to eights


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class Mamba(nn.Module):
    """Both directions share in_proj and out_proj; the second, on flipped input, has names with _b."""

    def __init__(self):
        super().__init__()
        inner, rank = 2 * D, 2
        self.in_proj, self.out_proj = nn.Linear(D, 2 * inner, bias=False), nn.Linear(inner, D, bias=False)
        for b in ("", "_b"):
            setattr(self, f"conv1d{b}", nn.Conv1d(inner, inner, 4, groups=inner, padding=3))
            setattr(self, f"x_proj{b}", nn.Linear(inner, rank + 2 * STATES, bias=False))
            setattr(self, f"dt_proj{b}", nn.Linear(rank, inner))
            setattr(self, f"A{b}_log", nn.Parameter(torch.arange(1.0, STATES + 1).log().repeat(inner, 1)))
            setattr(self, f"D{b}", nn.Parameter(torch.ones(inner)))

    def forward(self, u):
        xz = self.in_proj(u).transpose(1, 2)
        ahead, behind = self.scan(xz, ""), self.scan(xz.flip(-1), "_b").flip(-1)
        return self.out_proj((ahead + behind).transpose(1, 2))

    def scan(self, xz, b):
        x, z = xz.chunk(2, dim=1)
        x = nn.functional.silu(getattr(self, f"conv1d{b}")(x)[..., : x.shape[-1]])
        dt, B, C = getattr(self, f"x_proj{b}")(x.transpose(1, 2)).split([2, STATES, STATES], dim=-1)
        dt = nn.functional.softplus(getattr(self, f"dt_proj{b}")(dt))
        A, h, out = -getattr(self, f"A{b}_log").exp(), 0, []
        for t in range(x.shape[-1]):
            step = dt[:, t, :, None]
            h = (step * A).exp() * h + step * B[:, t, None] * x[:, :, t, None]
            out.append((h * C[:, t, None]).sum(-1) + getattr(self, f"D{b}") * x[:, :, t])
        return torch.stack(out, -1) * nn.functional.silu(z)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.mixer = RMSNorm(D), Mamba()


class Backbone(nn.Module):
    def __init__(self, token):
        super().__init__()
        self.expression_embedding, self.gene_id_embedding = nn.Linear(1, D), nn.Embedding(ROWS, D)
        self.register_parameter(token, nn.Parameter(torch.zeros(1, 1, D)))
        self.layers, self.norm_f = nn.ModuleList(Block() for _ in range(LAYERS)), RMSNorm(D)

    def forward(self, expression, hidden=None):
        x, ids = self.expression_embedding(expression[..., None]), list(range(1005, 1005 + GENES))
        if hidden is not None:
            x = torch.where(hidden[..., None], self.mask_token, x)
        if hasattr(self, "cls_token"):
            cls, half = self.cls_token.expand(len(x), 1, D), GENES // 2
            x = torch.cat([cls, x[:, :half], cls, x[:, half:], cls], 1)
            ids = [101, *ids[:half], 101, *ids[half:], 101]
        h, residual = x + self.gene_id_embedding(torch.tensor(ids)), 0
        for block in self.layers:
            residual = h + residual
            h = block.mixer(block.norm(residual))
        return self.norm_f(h + residual)


class Official(nn.Module):
    def __init__(self, n_classes=0):
        super().__init__()
        self.backbone = Backbone("cls_token" if n_classes else "mask_token")
        if n_classes:
            self.cls_head = nn.Linear(3 * D, n_classes, bias=False)
        else:
            self.regressor = nn.Linear(D, 1)

    def forward(self, expression, hidden=None):
        h = self.backbone(expression, hidden)
        if hasattr(self, "regressor"):
            return self.regressor(h)[..., 0]
        return self.cls_head(h[:, [0, GENES // 2 + 1, -1]].flatten(1))


def official(seed=0, **options):
    """Weights away from zeros and ones, so that a tensor in the wrong place shows."""
    torch.manual_seed(seed)
    model = Official(**options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def vocabulary(folder, genes=GENES):
    words = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"[unused{i}]" for i in range(99, 1000)]
    assert len(words) == 1005
    file = folder / "vocab.txt"
    file.write_text("\n".join([*words, *(f"ensg{i:011d}" for i in range(genes))]))
    return file


def lightning(state):
    """The frame that Lightning saves: other states beside the weights, a prefix before their names."""
    named = {f"model.{name}": tensor for name, tensor in state.items()}
    metrics = {"train_torchmetrics.acc.total": torch.tensor(3)}
    return {"epoch": 1, "state_dict": named | metrics, "optimizer_states": [{"lr": 1e-3}], "hparams_name": "config"}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    model = official()
    torch.save(lightning(model.state_dict()), folder / "theirs.ckpt")
    return model, import_official(folder / "theirs.ckpt", vocabulary(folder), folder / "ours"), folder / "ours"


def test_predictions_of_masked_genes_are_those_of_the_original(imported):
    model, ours, folder = imported
    torch.manual_seed(1)
    expression, hidden = torch.rand(3, GENES) * 4, torch.rand(3, GENES) < 0.3
    read = load_pretrained(folder, "scmamba")
    assert hidden.any()
    assert read.genes.ids[0] == "ENSG00000000000"
    for net in (ours.model, read.model):
        torch.testing.assert_close(net(expression, hidden), model(expression, hidden), atol=1e-5, rtol=1e-5)


def test_logits_from_the_converted_backbone_are_those_of_the_original(imported):
    model, ours, _ = imported
    theirs = official(seed=2, n_classes=5)
    theirs.load_state_dict(theirs.state_dict() | {n: t for n, t in model.state_dict().items() if "layers" in n})
    for part in ("expression_embedding", "gene_id_embedding", "norm_f"):
        getattr(theirs.backbone, part).load_state_dict(getattr(model.backbone, part).state_dict())
    mine = cell_classifier(ours.config, 5)
    fresh = load_pretrained_weights(mine, ours.model.state_dict(), ours.architecture.fresh)
    assert fresh == ["cls_token", "head.weight"]
    with torch.no_grad():
        mine.cls_token.copy_(theirs.backbone.cls_token.flatten())
        mine.head.weight.copy_(theirs.cls_head.weight)
    expression = torch.rand(3, GENES) * 4
    torch.testing.assert_close(mine(expression), theirs(expression), atol=1e-5, rtol=1e-5)


def test_the_card_names_the_studies_so_that_rows_are_flagged(imported):
    seen = ScMamba.seen_before({"checkpoint": imported[2]})
    assert seen["GSE140231"] is None
    assert seen["Agarwal 2020"] is None
    assert set(PRETRAINED_ON) | set(PRETRAINED_ON.values()) == set(seen)
    assert len(PRETRAINED_ON) == 10
    assert "2502.19429" in json.loads((imported[2] / "card.json").read_text())["reference"]


def test_a_bare_state_dict_serves_too(tmp_path):
    model = official()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    ours = import_official(tmp_path / "weights.pt", vocabulary(tmp_path), tmp_path / "ours")
    assert torch.equal(ours.model.regressor.weight, model.regressor.weight)
    assert (ours.config.n_layers, ours.config.d_model, ours.config.d_state) == (LAYERS, D, STATES)


def test_settings_of_omegaconf_are_read_as_empty_shells(tmp_path, monkeypatch):
    module = types.ModuleType("omegaconf.dictconfig")
    module.DictConfig = type("DictConfig", (dict,), {"__module__": "omegaconf.dictconfig"})
    monkeypatch.setitem(sys.modules, "omegaconf.dictconfig", module)
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    settings = module.DictConfig()
    settings.content = {"lr": 1e-3}
    torch.save(lightning(official().state_dict()) | {"hyper_parameters": settings}, tmp_path / "theirs.ckpt")
    monkeypatch.delitem(sys.modules, "omegaconf.dictconfig")
    assert import_official(tmp_path / "theirs.ckpt", vocabulary(tmp_path), tmp_path / "ours").facts["preset"] == "paper"


class Unknown:
    """Something that torch would have to execute; harmless."""

    def __reduce__(self):
        return print, ("executed",)


def drop(name):
    return lambda state: {key: tensor for key, tensor in state.items() if key != name}


FAULTS = {
    "missing": (drop("backbone.layers.1.mixer.D_b"), "missing: backbone.layers.1.mixer.D_b"),
    "left over": (lambda state: state | {"backbone.extra": torch.ones(2)}, "left over: backbone.extra"),
    "shape": (lambda state: state | {"backbone.norm_f.weight": torch.ones(3)}, r"norm_f.weight is \(3,\)"),
    "not finite": (lambda state: state | {"regressor.bias": torch.tensor([torch.nan])}, "regressor.bias is not finite"),
    "fine-tuned": (lambda state: official(n_classes=5).state_dict(), "fine-tuned for 5 classes"),
    "multi-omics": (lambda state: {"decoder_omics1.backbone.norm_f.weight": torch.ones(2)}, "2506.20697"),
    "SC-MAMBA2": (lambda state: {"backbone.layers.0.mixer.dt_bias": torch.ones(2)}, "such as SC-MAMBA2"),
    "GeneMamba": (lambda state: {"backbone.layers.0.mamba.A_log": torch.ones(2, 2)}, "of GeneMamba"),
    "another": (lambda state: {"encoder.weight": torch.ones(2)}, "it has encoder.weight"),
    "no tensors": (lambda state: {"state_dict": [1, 2]}, "neither a state dict nor"),
    "names": (lambda state: {0: torch.ones(2)}, "neither a state dict nor"),
    "sparse": (lambda state: state | {"regressor.bias": torch.ones(1).to_sparse()}, "neither a state dict nor"),
    "a number": (lambda state: state | {"backbone.expression_embedding.weight": torch.tensor(1.0)}, r"weight is \(\)"),
    "no size": (lambda state: state | {"backbone.layers.0.mixer.A_log": torch.ones(0, 4)}, r"A_log is \(0, 4\)"),
    "one more": (lambda state: state | {"backbone.layers.0.mixer.A_log": torch.ones(2, 3, 4)}, r"A_log is \(2, 3, 4\)"),
    "executes": (lambda state: {"x": Unknown()}, "nothing is executed here"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_refused_and_nothing_is_written(fault, tmp_path, capsys):
    change, message = FAULTS[fault]
    torch.save(change(official().state_dict()), tmp_path / "theirs.pt")
    with pytest.raises(BenchError, match=message) as error:
        import_official(tmp_path / "theirs.pt", vocabulary(tmp_path), tmp_path / "ours")
    assert not (tmp_path / "ours").exists()
    assert "executed" not in capsys.readouterr().out.splitlines()
    assert "fix:" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"", "the file is empty"),
        (b"gene\n", "this is no file of torch"),
        (b"\x89HDF\r\n", "this is no file of torch"),
        (b"PK\x03\x04", "cannot be read: PytorchStreamReader"),
        (b"\x80", "cannot be read: index out of range"),
    ],
)
def test_what_is_no_checkpoint_is_named(content, message, tmp_path):
    if content is not None:
        (tmp_path / "theirs.pt").write_bytes(content)
    with pytest.raises(BenchError, match=message):
        import_official(tmp_path / "theirs.pt", vocabulary(tmp_path), tmp_path / "ours")


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(BenchError, match="this is a folder, not a file"):
        import_official(tmp_path, vocabulary(tmp_path), tmp_path / "ours")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gene\n" * 3, r"line 102 is not \[CLS\]"),
        (None, "line 1,006 is 'ACTB'"),
        ("", r"line 102 is not \[CLS\]"),
    ],
)
def test_another_vocabulary_is_refused(text, message, tmp_path):
    torch.save(official().state_dict(), tmp_path / "theirs.pt")
    file = vocabulary(tmp_path)
    file.write_text(file.read_text().replace("ensg00000000000", "actb") if text is None else text)
    with pytest.raises(BenchError, match=message):
        import_official(tmp_path / "theirs.pt", file, tmp_path / "ours")


def test_a_vocabulary_of_another_length_is_refused(tmp_path):
    torch.save(official().state_dict(), tmp_path / "theirs.pt")
    with pytest.raises(BenchError, match=r"gene_id_embedding.weight is \(1024, 32\) where \(1048, 32\)"):
        import_official(tmp_path / "theirs.pt", vocabulary(tmp_path, genes=40), tmp_path / "ours")


def test_the_command_line_says_whose_model_it_is_and_keeps_what_is_there(tmp_path):
    torch.save(lightning(official().state_dict()), tmp_path / "theirs.ckpt")
    words = ["import-checkpoint", str(tmp_path / "theirs.ckpt"), "--vocab", str(vocabulary(tmp_path))]
    words += ["--out", str(tmp_path / "ours")]
    done = CliRunner().invoke(with_commands(), words)
    assert done.exit_code == 0, done.output
    assert "arXiv 2502.19429" in done.output
    assert "13 genes" in done.output
    again = CliRunner().invoke(with_commands(), words)
    assert isinstance(again.exception, BenchError)
    assert "there is a checkpoint already" in str(again.exception)
