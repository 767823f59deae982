"""Names of claims in a configuration, and modules that hold no claims."""

from __future__ import annotations

import pytest

from pipeline.claims.claim import claims_digest, load
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from tests.helpers import their_claims
from tests.helpers.made_studies import configuration


def test_a_paper_or_a_module_of_ones_own_is_named(tmp_path, monkeypatch):
    (tmp_path / "the_users_claims.py").write_text(their_claims.TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    for name, first in {"sa_gsae": "dominance", "the_users_claims": "half_is_enough"}.items():
        assert load(name).CLAIMS[0].key == first
        assert Study.from_dict(configuration(claims=name)).scope.claims == name
    assert Study.from_dict(configuration(claims="")).scope.claims == ""


def test_what_python_cannot_find_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match=r"claims: .*no module 'sa_gase'; known are sa_gsae"):
        Study.from_dict(configuration(claims="sa_gase"))
    with pytest.raises(ConfigError, match=r"claims: .*no module 'tests.no_such_module'"):
        Study.from_dict(configuration(claims="tests.no_such_module"))
    with pytest.raises(ConfigError, match="claims"):
        Study.from_dict(configuration(claims="../claims.py"))


@pytest.mark.parametrize("text", ["", "CLAIMS = []\n", "CLAIMS = [1]\n", "CLAIMS = 3\n"])
def test_a_module_without_a_list_of_claims_is_refused(text, tmp_path, monkeypatch):
    name = f"their_claims_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="a list CLAIMS of its @claim"):
        load(name)
    with pytest.raises(ImportError, match="put the folder that holds them on PYTHONPATH"):
        load(f"{name}_2")


def test_the_digest_is_of_the_sources(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "their_digest.py"
    module.write_text("CLAIMS = []\n")
    before = claims_digest("their_digest")
    module.write_text("CLAIMS = [1]\n")
    assert before != claims_digest("their_digest") != ""
    assert claims_digest("") == ""
    assert claims_digest("sa_gsae") == claims_digest("pipeline.claims.sa_gsae") != ""
