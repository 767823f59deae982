"""The claims page: what the paper says, what this study found, and whether it agrees.

    python -m pipeline claims --spec JSON --tables DIR --synthetic [summary.csv] --out claims.csv

Nothing on it is typed: every verdict is a rule applied to the tables. A rule says "not testable"
only where the study lacks what the claim is about, or where no result could have met it. The
criteria are this project's own, and printed with the verdicts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.claims import latents as latents
from pipeline.claims import parts as parts
from pipeline.claims import protocols as protocols
from pipeline.claims import sweeps as sweeps
from pipeline.claims.evidence import FAILS, HOLDS, OPEN, Evidence, Verdict
from pipeline.claims.limits import limits
from pipeline.claims.paper_claims import CLAIMS
from pipeline.study.comparison_spec import ComparisonSpec, spec_argument
from pipeline.text.csv_files import read_table, write_csv
from pipeline.text.numbers import BLANK, Grid
from pipeline.text.pages import write_page


@dataclass(frozen=True)
class Rule:
    """A criterion in words, and the same as code."""

    criterion: str
    judge: Callable[[Evidence, sweeps.Values], Verdict]


RULES = {
    "dominance": Rule(
        "Of the pairs with an L0 overlap, at least half are strictly dominated.",
        sweeps.dominance,
    ),
    "dominance_where": Rule(
        "Every mlp_out pair and at least one resid pair is strictly dominated.",
        sweeps.dominance_where,
    ),
    "rest_within": Rule(
        "R2 falls at most 0.025 short anywhere in the overlap.",
        sweeps.rest_within,
    ),
    "rest_gap": Rule(
        "The smallest gap is -0.008 or more.",
        sweeps.rest_gap,
    ),
    "dead_rest": Rule(
        "At the first matched L0 the dead fraction is lower by 0.35 or more; not testable where "
        "Gated has less than 0.35 dead there.",
        sweeps.dead_rest,
    ),
    "dead_matched": Rule(
        "On every pair the dead fraction at L0 = 64 is lower by 0.35 or more; not testable where "
        "Gated has less than 0.35 dead there.",
        sweeps.dead_matched,
    ),
    "dead_mlp": Rule(
        "Geometric mean of dead(Gated) / dead(SA-GSAE) over shared lambdas, each floored at half a "
        "latent: 100 or more at every mlp_out; not testable where it could not reach that with no "
        "latent of SA-GSAE dead.",
        sweeps.dead_mlp,
    ),
    "dead_other": Rule(
        "The geometric mean of claim 7, but 2 or more at every attn and resid.",
        sweeps.dead_other,
    ),
    "no_auxiliary": Rule(
        "More than half of the runs without it collapse (R2 below 0.2, L0 below 1 or more than "
        "95 % dead), and none of those with it at the same lambda and seed.",
        parts.no_auxiliary,
    ),
    "no_auxiliary_dead": Rule(
        "The mean dead fraction without it is 0.95 or more.",
        parts.no_auxiliary_dead,
    ),
    "two_sided": Rule(
        "At equal width the intact gate strictly dominates the one-sided one in R2 on every pair.",
        parts.two_sided,
    ),
    "tied_radii": Rule(
        f"Mean |ΔR2| of sagsae_sym against sagsae at equal lambda and seed is at most "
        f"{parts.MATCH:g}, a fifth of what the paper calls a match.",
        parts.tied_radii,
    ),
    "tied_all": Rule(
        f"Mean |ΔR2| of sagsae_tied against sagsae is at most {parts.MATCH:g}, as in claim 12.",
        parts.tied_all,
    ),
    "full_width": Rule(
        "At some resid, more runs collapse at 2H than at H, at equal lambda and seed.",
        parts.full_width,
    ),
    "half_width": Rule(
        "No run of an intact sign-aware variant at the candidate's width collapses.",
        parts.half_width,
    ),
    "parameters": Rule(
        "In every cell of the candidate, the share of all latents that fire with both signs is "
        "above 3 / (2d + 3), from which even the variant with nothing tied, the costliest, breaks "
        "even.",
        latents.parameters,
    ),
    "mlp_polarity": Rule(
        "At mlp_out of every model, more than half of the candidate's live latents fire with both "
        "signs (mean over the sweep).",
        latents.mlp_polarity,
    ),
    "attn_top": Rule(
        "At attn of every model, two-sided latents are a larger share of the top 1 % by "
        "contribution than of all live latents (means over the sweep).",
        latents.attn_top,
    ),
    "causal_dial": Rule(
        "None: nothing here measures it.",
        latents.causal_dial,
    ),
    "protocol_a": Rule(
        "At every alpha the mean slope of both signs of the most tied sign-aware variant is within "
        f"{protocols.SLOPE_WITHIN:g} of 1, over at least {protocols.FOUND:g} of the poles.",
        protocols.protocol_a,
    ),
    "protocol_b": Rule(
        "With at most one latent an axis, its AUROC of the worse direction exceeds that of Gated "
        "by more than two standard errors.",
        protocols.protocol_b,
    ),
    "protocol_c": Rule(
        "At the lowest superposition its Pair Consolidation Rate is "
        f"{protocols.CONSOLIDATED:g} or more, and that of Gated never above "
        f"{protocols.NONE_CONSOLIDATED:g}.",
        protocols.protocol_c,
    ),
    "robustness": Rule(
        f"At rho = -0.5 its Pair Consolidation Rate is at least {protocols.KEPT:g} times that at "
        "rho = -1.",
        protocols.robustness,
    ),
}
"""Key of a claim -> how it is decided."""
COLUMNS = ("claim", "statement", "paper", "source", "here", "outcome", "why", "criterion")


def claim_table(evidence: Evidence) -> pd.DataFrame:
    """One row a claim, in the order of the paper."""
    rows = []
    for claim in CLAIMS:
        rule = RULES[claim.key]
        verdict = rule.judge(evidence, claim.values)
        row = (claim.key, claim.statement, claim.paper, claim.source)
        found = (verdict.here, verdict.outcome, verdict.why, rule.criterion)
        rows.append(dict(zip(COLUMNS, (*row, *found), strict=True)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def claim_grid(table: pd.DataFrame) -> Grid:
    """The table that people read."""
    rows = tuple(
        (
            str(number),
            row["statement"],
            f"{row['paper'] or BLANK} ({row['source']})",
            row["here"] or BLANK,
            row["outcome"],
            row["why"],
        )
        for number, row in enumerate(table.to_dict("records"), start=1)
    )
    columns = ("No.", "Claim", "Paper", "This study", "Outcome", "Remark")
    return Grid(title="Claims of the paper", columns=columns, rows=rows)


def tally(table: pd.DataFrame) -> str:
    """How many claims hold, in a sentence."""
    counts = table["outcome"].value_counts()
    held, failed, left = (counts.get(outcome, 0) for outcome in (HOLDS, FAILS, OPEN))
    return (
        f"Of {len(table)} claims of the paper this study bears out {held}, contradicts {failed} "
        f"and cannot test {left}. ± is one standard error: over seeds for means, from a bootstrap "
        "over seeds for gaps."
    )


def criteria(table: pd.DataFrame) -> list[str]:
    """How verdicts are reached, each criterion with the numbers of its claims."""
    rules = dict.fromkeys(table["criterion"])
    numbers = {
        rule: ", ".join(str(i) for i, other in enumerate(table["criterion"], 1) if other == rule)
        for rule in rules
    }
    return [f"{numbers[rule]}: {rule}" for rule in rules]


def page_parts(table: pd.DataFrame, spec: ComparisonSpec, cells: pd.DataFrame) -> list[str | Grid]:
    """The claims page."""
    return [
        tally(table),
        claim_grid(table),
        "## How each is decided",
        "\n".join(f"- {line}" for line in criteria(table)),
        "## Limits of this study",
        "\n".join(f"- {line}" for line in limits(spec, cells)),
    ]


def write_claims(spec: ComparisonSpec, tables: Path, synthetic: Path | None, out: Path) -> None:
    """Judge every claim; write ``out`` (.csv) and .md and .tex beside it."""
    evidence = Evidence.read(spec, tables, synthetic)
    write_csv(out, claim_table(evidence))
    write_page(out, "Claims of the paper", page_parts(read_table(out), spec, evidence.cells))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the stage."""
    spec_argument(parser)
    parser.add_argument("--tables", required=True, type=Path, help="folder of the tables")
    parser.add_argument(
        "--synthetic", type=Path, nargs="?", help="summary.csv of the synthetic protocols, if run"
    )
    parser.add_argument("--out", required=True, type=Path, help="claims.csv; .md, .tex beside it")


def main(options: argparse.Namespace) -> None:
    """Run the stage."""
    write_claims(options.spec, options.tables, options.synthetic, options.out)
