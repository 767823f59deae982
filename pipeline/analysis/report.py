"""Stage: the report of a study, one HTML file that opens without a network.

python -m pipeline report --measures DIR --root DIR --out report.html
"""

from __future__ import annotations

import base64
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.columns import METRICS, SWEEP, recipe_name, resolved
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.figure import (
    figures_of,
    parts,
    synthetic_figures,
    title_and_caption,
)
from pipeline.analysis.in_one_line import result
from pipeline.analysis.numbers import (
    format_number,
    matched_column,
    share,
    signed,
    span,
    variant_label,
    with_error,
)
from pipeline.analysis.page import Grid, Part, grid, parts_of, template
from pipeline.analysis.table import Table, tables_of
from pipeline.analysis.tables.cells import CELLS, POINTS
from pipeline.analysis.tables.comparison import COMPARISON, KNOWN, read_off
from pipeline.analysis.tables.ranking import RANKING
from pipeline.study.metrics import TRUTH
from pipeline.study.outputs import SCOPE
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import K, stem
from sagsae.files import write_atomic

# The figure of the first screen: the first of these that a study has.
FIRST = ("figure_r2", "figure_frontiers")
OTHERS = "Everything else"
# Topic -> modules of the figures and tables that stand under it.
TOPICS = {
    "Comparisons": "comparison effects specification",
    "Ranking": "ranking sides scaling",
    "Signs": "signs sign_rates",
    "Sweeps and training": "sweep cells sweeps curves latents",
    "Latents: steering and probes": "dial probing looks",
    "Synthetic activations": "truth synthetic",
    "Tables of claims": "verdicts matrix",
    OTHERS: "",
}
STANDING = (
    "A probability of dominance and the errors of gaps are a bootstrap over the seeds that were "
    "run: with few seeds they take few values, and they cover neither the choice of text nor that "
    "of models.",
    "Loss Recovered sets the loss with the reconstruction spliced in against zero ablation. Where "
    "zero ablation costs less than 0.1 nats, the ratio is noise and is not given.",
)
# Nats per token beyond which reconstructions are of no use to a language model.
UNUSABLE = 1.0
# Of a study that trains the paper's variants.
RECONSTRUCTED = (
    "The equations of SA-GSAE used here are a reconstruction from the paper's abstract, figure "
    "captions and claims (arXiv 2605.28149); they are not copied from its text. Initial "
    "thresholds, the reset rule, widths, lambdas and schedules are choices of this project."
)


def figure(path: Path, rows: Mapping[Table, pd.DataFrame]) -> dict[str, str]:
    """An image as text, with its title, which has a result of the table that it draws, and its
    caption."""
    title, caption = title_and_caption(path.stem)
    drawn, cut = parts(path.stem)
    table = next((table for table in drawn.tables if table in rows), None)
    if table and (words := result(table.name, rows[table], cut.recipe or None)):
        title += f": {words}"
    data = base64.b64encode(path.read_bytes()).decode()
    return {"source": f"data:image/svg+xml;base64,{data}", "title": title, "caption": caption}


def report(scope: Scope, root: Path, browser: str | None = None) -> str:
    """The page, from the written tables and figures.

    Args:
        scope: Of the study.
        root: Folder of its results.
        browser: Address of the latent browser as seen from the report, if the study has one.
    """
    tables = [table for table in tables_of(scope) if table.report]
    rows = {table: read_table(root / table.path) for table in tables}
    names = [*figures_of(scope), *(synthetic_figures() if scope.with_synthetic else ())]
    figures = {name: figure((root / "figures" / name).with_suffix(".svg"), rows) for name in names}
    first = first_figure(list(figures), rows)
    claims = next((rows[table] for table in tables if table.name == "claims"), pd.DataFrame())
    shown = first_setting(claims)
    values: dict[str, Any] = {
        "scope": scope,
        "variants": [variant_label(name) for name in rows[CELLS]["variant"].unique()],
        "headline": headline(scope, rows),
        "answer": without_constants(answer(scope, rows)),
        "remarks": remarks(scope, rows),
        "first": figures.pop(first, None),
        "first_title": title_and_caption(first)[0] if first else "",
        "claims": judged(shown, scope),
        "others": len(scope.settings) - 1,
        "tally": shown["outcome"].value_counts().to_dict() if len(shown) else {},
        "topics": topics(scope, figures, rows),
        "limits": limits(scope, rows[CELLS]),
        "browser": browser,
    }
    return template(Path(__file__).with_name("report.html.j2")).render(values)


def first_figure(names: list[str], rows: Mapping[Table, pd.DataFrame]) -> str:
    """The figure of the first screen: of several recipes that of the first comparison's first row,
    as in the answer. Empty where there is no figure."""
    recipes = _both_there(rows[COMPARISON])["recipe"] if COMPARISON in rows else ()
    recipe = next(iter(recipes), "")
    ordered = sorted(names, key=lambda name: not name.endswith(f"@{recipe}"))
    known = (name for start in FIRST for name in ordered if name.startswith(start))
    return next(known, next(iter(names), ""))


def headline(scope: Scope, rows: Mapping[Table, pd.DataFrame]) -> str:
    """What came out, in one sentence: of the first comparison, else of the ranking."""
    if COMPARISON in rows and not (known := _both_there(rows[COMPARISON])).empty:
        return _ahead(scope, known)
    if RANKING in rows and (words := result(RANKING.name, rows[RANKING])):
        cells = rows[CELLS]
        points = [name for name in (*SWEEP.split(), "lam", K) if name in cells]
        return f"{words} ({_counted(cells.groupby(points, dropna=False)['seed'].nunique())})."
    return ""


def _ahead(scope: Scope, known: pd.DataFrame) -> str:
    """At how many hookpoints the candidate of the first comparison is ahead, and how surely."""
    item = scope.comparisons[0]
    candidate, baseline = (variant_label(side.variant) for side in (item.candidate, item.baseline))
    (width, *more) = (known["candidate_width"] / known["baseline_width"]).unique()
    if not more and width != 1:
        candidate += f", at {'half' if width == 0.5 else f'{width:g} times'} the width,"
    where = "hookpoints" if known["recipe"].nunique() == 1 else "hookpoints and recipes"
    ahead = known["dominates"].eq(True).sum()
    behind = (known["dominates"].eq(False) & (known["max_gap"] < 0)).sum()
    text = f"{candidate} is ahead of {baseline} at {ahead} of {len(known)} {where}"
    if behind:
        text += f" and behind at {behind}"
    if rest := len(known) - ahead - behind:
        text += f"; {rest} {'is' if rest == 1 else 'are'} undecided"
    seeds = pd.concat([known["candidate_seeds"], known["baseline_seeds"]])
    return f"{text} ({_counted(seeds)})."


def _counted(seeds: pd.Series) -> str:
    """Such as: 2 to 3 seeds."""
    ends = dict.fromkeys((int(seeds.min()), int(seeds.max())))
    return "one seed" if [*ends] == [1] else f"{' to '.join(map(str, ends))} seeds"


def remarks(scope: Scope, rows: Mapping[Table, pd.DataFrame]) -> list[str]:
    """How the numbers of the answer were read, and what an unusual one means."""
    said = []
    if COMPARISON in rows and not _both_there(rows[COMPARISON]).empty:
        said.append(
            "Ahead means a higher R² (explained variance) at every L0 that both reach; behind, a "
            "lower R² at every such L0; else it is undecided."
        )
    if COMPARISON in rows or RANKING in rows:
        said.append(
            "Numbers at a matched L0 are interpolated between the autoencoders of a sweep, "
            "linearly in log L0."
        )
    lost = rows[CELLS]["ce_sae"] - rows[CELLS]["ce_clean"] if "ce_sae" in rows[CELLS] else None
    if lost is not None and lost.max() > UNUSABLE:
        worst = rows[CELLS].iloc[int(lost.argmax())]
        said.append(
            f"A CE loss increase of more than {UNUSABLE:g} nats per token (here up to "
            f"{lost.max():.1f}, {worst['model']} {worst['hookpoint']}) means that the language "
            "model does not work with the reconstructions: the autoencoder is undertrained, "
            "collapsed or too sparse."
        )
    return said


def answer(scope: Scope, rows: Mapping[Table, pd.DataFrame]) -> Grid:
    """What is best where, by how much and how surely: the two sides of the first comparison at each
    place where both were trained, else the ranking of several sweeps, else the points of each."""
    if COMPARISON in rows and not (known := _both_there(rows[COMPARISON])).empty:
        item = scope.comparisons[0]
        l0 = next(iter(item.matched_l0), scope.matched_levels[0])
        compared = known.to_dict("records")
        names = [variant_label(side.variant) for side in (item.candidate, item.baseline)]
        title = f"{names[0]} (first) against {names[1]} (second) at L0 = {l0:g}"
        table = pd.DataFrame([_compared(row, l0, scope) for row in compared])
        if table["Recipe"].nunique() == 1:
            title += f" under recipe {table['Recipe'].iloc[0]}" * scope.several
            table["Recipe"] = ""
        return Grid(title, table.loc[:, (table != "").any()])
    if RANKING in rows and (rows[RANKING]["of"] > 1).any():
        l0 = scope.matched_levels[0]
        shown = (
            "model hookpoint rank series r2 loss_recovered dead_fraction f1 mcc error_from "
            "rank_reason"
        )
        ranked = rows[RANKING].query("l0 == @l0")
        return grid(ranked, list(resolved([shown])), f"The sweeps at L0 = {l0:g}, the best first")
    shown = f"{SWEEP} lam k {METRICS} loss_added collapsed"
    return grid(rows[POINTS], list(resolved([shown])), "The points of every sweep")


def without_constants(part: Part) -> Part:
    """A table of several rows without the columns that say the same in each; the title says it."""
    if isinstance(part, str) or len(part.texts) < 2:
        return part
    same = part.texts.columns[(part.texts == part.texts.iloc[0]).all().to_numpy()]
    if len(same) in (0, len(part.texts.columns)) or not part.texts.columns.is_unique:
        return part
    words = (f"{name} {part.texts[name].iloc[0]}".strip() for name in same)
    title = f"{part.title} (in each row: {', '.join(words)})"
    return Grid(title, part.texts.drop(columns=same))


def _both_there(compared: pd.DataFrame) -> pd.DataFrame:
    """Where both sides of the first comparison were trained."""
    return compared[(compared["comparison"] == 1) & compared["candidate_seeds"].notna()]


def _better(row: Mapping[Any, Any], gap: float) -> str:
    """Which side has the higher R2, and at which L0, by the gap at the one that is shown."""
    if pd.isna(row["dominates"]):
        side = "first" if gap > 0 else "second"
        return "no range of L0 in common" if pd.isna(gap) else f"the {side}, at this L0 alone"
    if row["dominates"]:
        return "the first, at every L0"
    return "the second, at every L0" if row["max_gap"] < 0 else "neither at every L0"


def _surely(row: Mapping[Any, Any]) -> str:
    """In which share of draws of seeds the first has the higher R2 at every L0, or why this is not
    known."""
    if pd.isna(row["dominates"]):
        return ""
    why_not = row["p_reason"].rpartition(": ")[2]
    why_not = "one seed" if why_not.endswith("one seed") else why_not
    return why_not or share(row["p_dominance"])


def _compared(row: Mapping[Any, Any], l0: float, scope: Scope) -> dict[str, str]:
    """A line of the answer, in words."""
    both = {
        metric: " / ".join(_at(row, l0, metric, side) for side in ("candidate", "baseline"))
        for metric in read_off(scope)
        if metric != "loss_recovered"
    }
    names = [matched_column(l0, "r2", side) for side in ("candidate", "baseline")]
    ends = [row[name] for name in names]
    error = math.hypot(*(row[f"{name}_se"] for name in names))
    reason = row[f"l0_{l0:g}_reason"] or row["overlap_reason"]
    return {
        "Hookpoint": f"{row['model']}, {row['hookpoint']}",
        "Recipe": recipe_name(row["recipe"]),
        "Higher R²": _better(row, ends[0] - ends[1]),
        "R², first minus second": with_error(ends[0] - ends[1], error, signed),
        "R²": both["r2"],
        **{KNOWN[name]: both[name] for name in TRUTH if name in both},
        "P(first higher at every L0)": _surely(row),
        **({} if scope.truth else {"CE loss increase (nats/token)": both["loss_added"]}),
        "Dead fraction": both["dead_fraction"],
        "Latents (H)": f"{row['candidate_width']} / {row['baseline_width']}",
        "Why there is no R²": reason if pd.isna(ends).any() else "",
    }


def _at(row: Mapping[Any, Any], l0: float, metric: str, side: str) -> str:
    return format_number(row[matched_column(l0, metric, side)])


def first_setting(claims: pd.DataFrame) -> pd.DataFrame:
    """The verdicts under the first setting, one for each claim."""
    return claims.drop_duplicates("claim") if len(claims) else claims


def judged(claims: pd.DataFrame, scope: Scope) -> Grid | None:
    """The verdicts of one setting, verdict first; None where nothing is claimed."""
    if claims.empty:
        return None
    title = f"Under recipe {recipe_name(claims['recipe'].iloc[0])}" if scope.several else "Verdicts"
    if "widths" in claims:
        title += f", {claims['widths'].iloc[0]}"
    headings = {"outcome": "Verdict", "statement": "Claim", "paper": "Reported", "here": "Here"}
    headings["why"] = "Remark"
    return Grid(title, claims[list(headings)].astype(str).rename(columns=headings))


def topics(
    scope: Scope, figures: Mapping[str, dict[str, str]], rows: Mapping[Table, pd.DataFrame]
) -> dict[str, dict[str, list[Any]]]:
    """Topic -> its figures and its tables, in the order of the report."""
    shown: dict[str, dict[str, list[Any]]] = {name: defaultdict(list) for name in TOPICS}
    for name, image in figures.items():
        shown[_topic(parts(name)[0].make.__module__)]["figures"].append(image)
    for table, values in rows.items():
        if values.empty:
            continue
        title = ": ".join(filter(None, [table.title, result(table.name, values)]))
        read = [without_constants(part) for part in parts_of(table, values, scope)]
        shown[_topic(table.make.__module__)]["tables"].append((title, read))
    return {name: of_topic for name, of_topic in shown.items() if of_topic}


def _topic(module: str) -> str:
    last = module.rpartition(".")[2]
    return next((name for name, modules in TOPICS.items() if last in modules.split()), OTHERS)


def limits(spec: Scope, cells: pd.DataFrame) -> list[str]:
    """One or two sentences per limit; the study's own first."""
    models = " and ".join(f"{name} (d = {d_model})" for name, d_model in spec.models.items())
    layers = "" if any("." in name for name in spec.hookpoints) else "at one layer "
    sites = (
        f"Hookpoints: {', '.join(spec.hookpoints)} {layers}of {models}. Nothing here says what "
        "happens at other layers, models or sizes."
    )
    names = ("training_tokens", "eval_tokens", "ce_tokens")
    training, evaluation, recovered = (span(cells[name], "{:,}".format) for name in names)
    budget = (
        f"Budget: {training} training tokens and {evaluation} evaluation tokens for each SAE, Loss "
        f"Recovered over {recovered}. Longer training changes dead fractions most of all, and a "
        "latent counts as dead if it is silent on the evaluation tokens."
    )
    theirs = any(name != "gated" and stem(name) == "gated" for name in cells["variant"].unique())
    limited = [spec.note, sites, budget, _seeds(cells), RECONSTRUCTED * theirs, *STANDING]
    return list(filter(None, limited))


def _seeds(cells: pd.DataFrame) -> str:
    """The fewest seeds of any point, by variant and width."""
    point = ["recipe", "model", "hookpoint", "variant", "multiple", "lam"]
    point += [K] if K in cells else []
    swept = cells.assign(multiple=cells["width"] / cells["d_model"])
    seeds = swept.groupby(point, dropna=False)["seed"].nunique()
    fewest = seeds.groupby(["variant", "multiple"]).min().reset_index().to_numpy()
    listed = (f"{n} for {variant_label(name)} at H = {width:g}d" for name, width, n in fewest)
    text = f"Seeds per point: at least {', '.join(listed)}."
    if (seeds == 1).any():
        text += " One seed has no error: its numbers are single observations."
    return text


def main(measures: Path, root: Path, out: Path, browser: str | None = None) -> None:
    """Write the HTML file whole.

    Args:
        measures: folder of the measures
        root: folder of the results, with tables and figures
        out: the HTML file
        browser: address of the latent browser, as seen from the report, if the study has one
    """
    write_atomic(out, report(Scope.read(measures / SCOPE), root, browser).encode())
