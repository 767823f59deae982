"""No configuration value and no file of a model is executed, unpickled or leaves its folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipeline.data.model_folders import describe_model
from pipeline.data.random_sources import save_random_model
from pipeline.study.study import Study
from sagsae.activations.language_models import (
    LanguageModelError,
    load_language_model,
    load_tokenizer,
)
from tests.helpers.assets import random_source
from tests.helpers.workflow import ROOT, Workflow, workflow_of

MARK = "INJECTED"
WORKFLOW = [ROOT / "Snakefile", *ROOT.glob("workflow/rules/*.smk")]
SAFE = ("threads", "resources.gpu")
"""Numbers."""


@pytest.mark.parametrize("path", WORKFLOW, ids=lambda path: path.name)
def test_every_value_in_a_shell_command_is_quoted(path: Path) -> None:
    text = path.read_text()
    commands = re.findall(
        r'shell:\n((?: {8}[^\n]*\n?)+)|shell\(("[^\n]*")\)|LEASE = \((.*?)\n\)', text, re.S
    )
    fields = re.findall(r"\{([^{}]*)\}", " ".join("".join(parts) for parts in commands))
    assert [f for f in fields if not f.endswith(":q") and f not in SAFE] == []
    assert fields or "shell" not in text


def smallest(**changes: Any) -> dict[str, Any]:
    """A configuration of one tiny random model and a little random text."""
    config = yaml.safe_load((ROOT / "workflow/configs/smoke.yaml").read_text())
    config["models"] = config["models"][:1]
    config["text"]["source"] |= {"documents": 20, "words": 5}
    return config | changes


def test_odd_folders_are_folders_and_no_commands(tmp_path: Path) -> None:
    name = f"""a b'c "$(touch {MARK}) `touch {MARK}`; touch {MARK} & | > {MARK} #%s \\ *?[x] é"""
    config = smallest(
        results=name, note=f"{{model}} {{x}} '\"$(touch {MARK})", cache=f"{name}/cache"
    )
    (tmp_path / "here").mkdir()
    workflow, study = workflow_of(tmp_path / "here", config), Study.from_dict(config)
    done = workflow.run(study.documents)
    assert done.returncode == 0, done.stdout
    assert (workflow.folder / study.documents).is_file()
    made = {path.name for path in workflow.folder.iterdir()}
    assert made - {".snakemake", "study.yaml"} == {name}
    assert not list(tmp_path.rglob(f"{MARK}*"))
    assert not (ROOT / MARK).exists()


def test_no_rule_makes_a_cell_outside_the_folder_of_cells(tmp_path: Path) -> None:
    target = "results/local/cells/../attn/gated/w8_lam0.1_seed0/metrics.json"
    done = Workflow(tmp_path).run("--dry-run", target)
    assert done.returncode != 0
    assert "MissingRuleException" in done.stdout  # Snakemake looks for what it leads to


@pytest.fixture(scope="module")
def sound_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "model"
    folder.mkdir()
    save_random_model(random_source(), folder)
    return folder


@pytest.fixture
def model_folder(sound_folder: Path, tmp_path: Path) -> Path:
    """A sound model folder with a module beside it that leaves a mark when it is imported."""
    folder = tmp_path / "model"
    shutil.copytree(sound_folder, folder)
    (folder / "own.py").write_text(
        f"open({str(tmp_path / MARK)!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        "class Config(LlamaConfig):\n    model_type = 'own'\n"
        "class Model(LlamaForCausalLM):\n    config_class = Config\n"
        "class Tokenizer(PreTrainedTokenizerFast):\n    pass\n"
    )
    return folder


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


OWN_MODEL = {"auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
OWN_TOKENIZER = {"auto_map": {"AutoTokenizer": ["own.Tokenizer", "own.Tokenizer"]}}


def test_the_module_would_be_run_if_it_were_trusted(model_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig

    change(model_folder / "config.json", model_type="own", **OWN_MODEL)
    AutoConfig.from_pretrained(model_folder, trust_remote_code=True)
    assert (tmp_path / MARK).exists()


def test_code_of_a_model_is_not_run_and_consent_is_not_asked_for(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "y")
    config, tokenizer = model_folder / "config.json", model_folder / "tokenizer_config.json"
    change(config, **OWN_MODEL)
    change(tokenizer, **OWN_TOKENIZER)
    assert type(load_language_model(model_folder)).__module__.startswith("transformers.")
    assert type(load_tokenizer(model_folder)).__module__.startswith("transformers.")
    change(config, model_type="own")
    with pytest.raises(LanguageModelError, match=r"code of its own \(auto_map\), .* never run"):
        load_language_model(model_folder)
    with pytest.raises(LanguageModelError, match="it brings code of its own"):
        describe_model(model_folder)
    change(tokenizer, tokenizer_class="Tokenizer")
    with pytest.raises(LanguageModelError, match=r"code of its own \(auto_map\), .* never run"):
        load_tokenizer(model_folder)
    assert not (tmp_path / MARK).exists()


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.mark), "w")


def index_to(shard: str) -> Any:
    def harm(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "other.safetensors")
        index = {"metadata": {}, "weight_map": {"lm_head.weight": shard}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return harm


def named_by_the_configuration(folder: Path) -> None:
    change(folder / "config.json", transformers_weights="adapter_model.bin")


@pytest.mark.parametrize(
    "harm",
    [index_to("pytorch_model.bin"), named_by_the_configuration],
)
def test_pickled_weights_run_no_code(harm, model_folder, tmp_path):
    for name in ("pytorch_model.bin", "adapter_model.bin"):
        torch.save({"lm_head.weight": Evil(tmp_path / MARK)}, model_folder / name)
    harm(model_folder)
    with pytest.raises(LanguageModelError, match="UnpicklingError"):
        load_language_model(model_folder)
    assert not (tmp_path / MARK).exists()
