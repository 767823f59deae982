"""What each figure of a study must draw: filtered from its tables, by no code that draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pipeline.analysis.numbers import LOOKS
from tests.pipeline.analysis.figures import artists
from tests.pipeline.analysis.figures.artists import plain, rows, same, title
from tests.pipeline.analysis.figures.tables_of_study import PLACES, Study, by_place, series


def check_sweeps(figure: Figure, points: pd.DataFrame, value: str, error: str) -> None:
    """Intact points have error bars of their label's look; collapsed ones a marker and a cross."""
    points = points[(points["l0"] > 0) & points[value].notna()]
    labels, looks = artists.legend(figure), artists.legend(figure, ("color", "marker", "ls"))
    named = points["label"].isin(labels.values())
    for panel, here in by_place(figure, points[~named]).items():
        inside = here["l0"].between(*panel.get_xlim()) & here[value].between(*panel.get_ylim())
        assert not inside.any(), "the legend names what is in the frame"
    points = points[named]
    by_mark: dict[tuple[object, ...], set[str]] = {}
    for (colour, marker, _), label in looks.items():
        by_mark.setdefault((colour, marker), set()).add(label)
    for panel, here in by_place(figure, points).items():
        intact, fallen = here[here["collapsed"] == ""], here[here["collapsed"] != ""]
        same(
            artists.with_errors(panel, labels),
            series(intact, "l0", value, "l0_se", error, error),
        )
        marked = {line: artists.look(line, ("color", "marker")) for line in plain(panel)}
        crosses = [line for line, (_, marker) in marked.items() if marker == "x"]
        found = [artists.of_line(line) for line in crosses]
        same(
            {"x": np.concatenate([rows([], []), *found])}, {"x": rows(fallen["l0"], fallen[value])}
        )
        for line, mark in marked.items():
            if mark[1] != "x":
                own = fallen[fallen["label"].isin(by_mark[mark])]
                there = {tuple(xy) for xy in own[["l0", value]].to_numpy().round(9)}
                assert {tuple(xy) for xy in np.round(line.get_xydata(), 9)} <= there
        assert sum(len(line.get_xydata()) for line in marked) == 2 * len(fallen)


def sweeps(value: str) -> Callable[[Figure, Study, str, bool], None]:
    """Of a figure of sweeps; the shaded range is that of the first comparison."""

    def check(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
        points = study.table("points", recipe)
        points = points.assign(label=study.labels(points))
        check_sweeps(figure, points if everything else study.main(points), value, f"{value}_se")
        bands = study.table("comparison", recipe)
        bands = bands[(bands["comparison"] == 1) & bands["overlap_lo"].notna() & (not everything)]
        for panel, own in by_place(figure, bands).items():
            ends = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in panel.patches]
            np.testing.assert_allclose(
                np.reshape(ends, (-1, 2)), own[["overlap_lo", "overlap_hi"]], rtol=1e-9
            )

    return check


def frontiers(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    points = study.table("points", recipe)
    check_sweeps(figure, points.assign(label=study.labels(points)), "r2", "r2_se")


def depth(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    cells = study.table("cells", recipe)
    cells = cells.assign(
        label=study.labels(cells),
        nats=cells["ce_sae"] - cells["ce_clean"],
        place=cells["hookpoint"].str.replace("^l[0-9]+[.]", "", regex=True),
        knob=cells["lam"].fillna(cells["k"]),
    )
    cells = cells[cells["collapsed"] == ""]
    means = cells.groupby(["model", "place", "label", "layer", "knob"]).mean(numeric_only=True)
    means = means.reset_index()
    labels, columns = artists.legend(figure), {}
    for panel in figure.axes:
        columns.setdefault(round(panel.get_position().x0, 3), []).append(panel)
    shown = 0
    for panels in columns.values():
        model, place = panels[0].get_title().split("\n")
        here = means[(means["model"] == model) & (means["place"] == place)]
        shown += len(here)
        for panel, measured in zip(panels, ("r2", "l0", "nats"), strict=True):
            same(artists.without_errors(panel, labels), series(here, "layer", measured))
    assert shown == len(means)


def absorption(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    cells = study.table("absorption", recipe)
    keys = [*PLACES, "variant", "width", "lam", "cell_k"]
    means = cells.groupby(keys, dropna=False)[["l0", "fraction"]]
    points = means.mean().join(means.sem().add_suffix("_se")).reset_index()
    state = study.table("points", recipe).rename(columns={"k": "cell_k"})
    points = points.merge(state[[*keys, "collapsed"]], on=keys)
    points = points.assign(label=study.labels(points))
    check_sweeps(figure, points, "fraction", "fraction_se")


def probing(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    table = study.table("probing", recipe)
    table = table[table["kind"] == "all"]
    table = table.assign(label=study.labels(table), knob=table["lam"].fillna(table["cell_k"]))
    for panel, here in by_place(figure, table).items():
        expected, beside, whole = {}, {}, []
        for label, own in here.groupby("label"):
            l0 = own.groupby("knob")["l0"].mean()
            knob = np.log(l0 / study.level).abs().idxmin()
            by_k = own[own["knob"] == knob].groupby("k")
            means, errors = by_k["accuracy"].mean(), by_k["accuracy"].sem()
            expected[label] = rows(means.index, means, [np.nan] * len(means), errors, errors)
            beside[label] = rows(by_k["neurons"].mean().index, by_k["neurons"].mean())
            whole += by_k["dense"].mean().tolist()
        labels = artists.legend(figure)
        same(artists.with_errors(panel, labels), expected)
        neurons = artists.without_errors(panel, labels)["k coordinates of the activation"]
        assert any(np.allclose(neurons[:, :2], other[:, :2]) for other in beside.values())
        (across,) = (
            line for line in panel.lines if labels.get(artists.look(line)) == "the whole activation"
        )
        assert np.isclose(whole, across.get_ydata()[0]).any()


def calibration(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    table = study.main(study.table("calibration", recipe))
    signs = table["sign"].map({"positive": "z > 0", "negative": "z < 0"})
    table = table.assign(label=study.labels(table) + ", " + signs, share=table["percent"] / 100)
    labels = artists.legend(figure)
    for panel, here in by_place(figure, table).items():
        same(artists.without_errors(panel, labels), series(here, "slope", "share"))
        shades = [path.vertices for shade in panel.collections for path in shade.get_paths()]
        found = {tuple(xy) for xy in np.concatenate(shades).round(9)}
        for sign in (-1, 1):
            edge = here.assign(slope=here["slope"] + sign * here["slope_se"]).dropna(subset="slope")
            assert {tuple(xy) for xy in edge[["slope", "share"]].to_numpy().round(9)} <= found


def specification(column: str) -> Callable[[Figure, Study, str, bool], None]:
    """A point per comparison that has the number, by its size; the strip has its levels."""

    def check(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
        table = study.table("effects")
        table = table[table[column].notna()]
        above, below = figure.axes
        low, high = above.get_ylim()
        paper = {"min_gap": [-0.025], "dead_drop": [0.35], "equal_l0_log10": [np.log10(2), 2]}
        dashed = [line.get_ydata()[0] for line in above.lines if line.get_linestyle() == "--"]
        np.testing.assert_allclose(dashed, paper[column])
        keys = artists.legend(figure, ("color", "marker"))
        colours = {
            mark[0]: name for mark, name in keys.items() if name in study.scope["hookpoints"]
        }
        markers = {mark[1]: name for mark, name in keys.items() if name in study.scope["models"]}
        drawn = [
            (round(x), y, markers[mark], colours[colour], error)
            for container in above.containers
            for colour, mark in [artists.look(container.lines[0], ("color", "marker"))]
            for x, y, _, error, _ in artists.of_errorbar(container)
        ]
        found = pd.DataFrame(sorted(drawn), columns=["rank", "value", *PLACES, "error"])
        assert found["rank"].tolist() == list(range(1, len(table) + 1))
        expected = table.sort_values(column)[column].to_numpy()
        edge = 0.02 * (high - low)
        clipped = np.clip(expected, low + edge, high - edge)
        np.testing.assert_allclose(found["value"], clipped, rtol=1e-9, atol=1e-12)
        ranks = table.sort_values([column, "comparison", "recipe", "widths", *PLACES])
        ranks = ranks.assign(rank=np.arange(1, len(ranks) + 1))
        for place, own in ranks[ranks[column].between(low + edge, high - edge)].groupby(PLACES):
            here = found[(found[PLACES] == list(place)).all(axis=1)].set_index("rank")
            values = own.set_index("rank")[[column, f"{column}_se"]]
            there = here.loc[values.index, ["value", "error"]]
            np.testing.assert_allclose(there, values, rtol=1e-9, atol=1e-12)
        names = [label.get_text() for label in below.get_yticklabels()]
        assert len(names) == len(below.collections)
        for name, marks in zip(names, below.collections, strict=True):
            factor, level = name.split(" = ")
            of = factor if factor in ranks else f"level_{factor}"
            own = ranks[ranks[of].astype(str) == level]
            assert sorted(marks.get_offsets()[:, 0]) == own["rank"].tolist(), name
        if column.endswith("log10"):
            ceilings = [line for line in plain(above) if line.get_marker() == "_"]
            np.testing.assert_allclose(
                np.concatenate([line.get_ydata() for line in ceilings]),
                np.log10(ranks["equal_l0_ceiling"]),
            )

    return check


def widths(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    """Points of the ranking; dotted, the way to what is predicted of twice the widest."""
    table, laws = study.table("ranking", recipe), study.table("predictions")
    first, models = study.level, study.scope["models"]
    table = table[(table["l0"] == first) & table["r2"].notna()]
    named = [(recipe or "default") in recipes.split() for recipes in laws["recipes"]]
    laws = laws[pd.Series(named, laws.index) & (laws["kind"] == "wider")]
    tokens = study.scope["levels"].get(recipe, {}).get("tokens")
    laws = laws[laws["tokens"] == int(tokens)] if tokens else laws
    table = pd.concat([table.assign(predicted=False), laws.assign(predicted=True)])
    table = table.assign(
        multiple=table["width"] / table["model"].map(models),
        label=table["variant"].map(lambda name: LOOKS[name].label),
        none=np.nan,
    )
    assert figure.axes[0].get_ylabel() == f"R² at L0 = {first:g}"
    labels = artists.legend(figure)
    for panel, here in by_place(figure, table).items():
        trained = here[~here["predicted"]]
        drawn = artists.with_errors(panel, labels)
        same(drawn, series(trained, "multiple", "r2", "none", "r2_se", "r2_se"))
        dotted = [line for line in plain(panel) if line.get_linestyle() == ":"]
        told = {(*line.get_xdata(), *line.get_ydata()) for line in dotted}
        asked = {
            (*ends["multiple"], *ends["r2"])
            for _, own in here.groupby("label")
            for ends in [own.sort_values("width").tail(2)]
            if ends["predicted"].nunique() == 2
        }
        assert {ends for ends in told if len(ends) == 4} == asked


def rounded(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(round(part, 9) if isinstance(part, float) else part for part in row)


def sign_rates(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    table, levels = study.table("sign_rates"), study.scope["levels"]
    first = study.level
    table = table[(table["measure"] == "r2") & (table["l0"] == first)]
    tokens = table["recipe"].map(lambda name: float(levels.get(name, {}).get("tokens", 1e6)))
    unique = table["recipe"].map(lambda name: float(levels.get(name, {}).get("unique_rows", 0)))
    multiple = table["multiple"].map(lambda times: ", d" if times == 1 else f", {times:g}d")
    several = tokens.nunique() > table["multiple"].nunique()
    multiple = multiple if several else ""
    table = table.assign(
        x=tokens / 1e6 if several else table["multiple"],
        again=tokens > unique.where(unique > 0, tokens),
        label=table["family"].map(lambda name: LOOKS[name].label) + multiple,
    )
    assert figure.axes[-1].get_xlabel().startswith("Training" if several else "Two-sided")
    assert not figure.get_suptitle(), "all recipes stand in one figure"
    table = table if several else table[tokens == tokens.mode()[0]]
    labels = artists.legend(figure, ("color", "ls"))
    marks = {"^": "above", "v": "below", "o": ""}
    for panel, here in by_place(figure, table).items():
        drawn = []
        for container in panel.containers:
            line = container.lines[0]
            ring = line.get_markerfacecolor() == "none"
            drawn += [
                (ring, marks[line.get_marker()], to_hex(line.get_color()), *point)
                for point in artists.of_errorbar(container)
            ]
        low, high = here["rate_low"].fillna(here["rate"]), here["rate_high"].fillna(here["rate"])
        expected = here.assign(below=here["rate"] - low, above=high - here["rate"])
        colours = {name: LOOKS[name].colour.lower() for name in here["family"].unique()}
        expected["colour"] = expected["family"].map(colours)
        names = ["again", "bound", "colour", "rate", "below", "above", "x"]
        asked = sorted(expected[names].itertuples(index=False, name=None), key=rounded)
        told = [
            (ring, bound, colour.lower(), y, low, high, x)
            for ring, bound, colour, x, y, _, low, high in drawn
        ]
        told.sort(key=rounded)
        for one, other in zip(told, asked, strict=True):
            assert one[:3] == other[:3]
            np.testing.assert_allclose(one[3:6], other[3:6], rtol=1e-9, atol=1e-12)
            assert abs(np.log(one[6] / other[6])) < 0.25, "the sizes of one budget stand apart"
        for line in plain(panel):
            own = here[(here["label"] == labels[artists.look(line, ("color", "ls"))])]
            own = own[~own["again"]].sort_values("x")
            measured = own["rate"].where(own["bound"].fillna("") == "")
            np.testing.assert_allclose(line.get_ydata(), measured)  # no line through a bound


def dial(measure: str) -> Callable[[Figure, Study, str, bool], None]:
    """A thin line per direction, a thick one for their median."""

    def check(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
        table = study.table("dial_curves", recipe)
        table = table[table["comparison"] == 1]
        words = {"one signed latent": "latent", "opposite pair": "pair", "random": "random"}
        counts = [int(label.rpartition("(")[2][:-1]) for label in artists.legend(figure).values()]
        assert sum(counts) == len(table.drop_duplicates([*PLACES, "seed", "kind", "rank"]))
        kinds = {
            look: next(kind for word, kind in words.items() if word in label)
            for look, label in artists.legend(figure, ("color",)).items()
        }
        for panel, here in by_place(figure, table).items():
            for kind, own in here.groupby("kind"):
                mine = [
                    line for line in plain(panel) if kinds[artists.look(line, ("color",))] == kind
                ]
                thick = [line for line in mine if line.get_linewidth() > 1]
                wide = own.pivot(index="size", columns=["seed", "rank"], values=measure)
                drawn = sorted(tuple(line.get_ydata()) for line in mine if line not in thick)
                np.testing.assert_allclose(drawn, sorted(map(tuple, wide.to_numpy().T)))
                (line,) = thick
                np.testing.assert_allclose(line.get_xydata(), wide.median(axis=1).reset_index())

    return check


def curves(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    """Of each side the curve of the cell whose L0 is nearest, 200 of its rows at most."""
    log = pd.read_parquet(study.measures / "curves.parquet")
    points = study.main(study.table("points", recipe))
    points = points.assign(label=study.labels(points), knob=points["lam"])
    quantities = ["reconstruction", "l0", "dead_fraction"]
    labels = artists.legend(figure)
    assert len(figure.axes) == 3 * points.groupby(PLACES).ngroups
    for row, panels in enumerate(np.reshape(figure.axes, (-1, 3))):
        model, hookpoint = title(figure.axes[3 * row]).split(", ")[:2]
        here = points[(points["model"] == model) & (points["hookpoint"] == hookpoint)]
        for panel, quantity in zip(panels, quantities, strict=True):
            drawn = artists.without_errors(panel, labels)
            expected = {}
            for label, own in here.groupby("label"):
                of = f"{model}/{hookpoint}/{own['variant'].iloc[0]}" + (recipe and f"@{recipe}")
                width = own["width"].iloc[0]
                paths = {
                    lam: f"{of}/w{width}_lam{lam:g}_seed0"
                    for lam, l0 in zip(own["lam"], own["l0"], strict=True)
                    if l0 > 0
                }
                there = {lam: path for lam, path in paths.items() if path in set(log["cell"])}
                if there:
                    l0 = own.drop_duplicates("lam").set_index("lam")["l0"]
                    lam = min(there, key=lambda lam: abs(np.log(l0[lam] / study.level)))
                    curve = log[log["cell"] == there[lam]].dropna(axis=1, how="all")
                    kept = np.linspace(0, len(curve) - 1, min(len(curve), 200)).round().astype(int)
                    curve = curve.iloc[kept]
                    expected[label] = rows(curve["tokens"] / 1e6, curve[quantity])
            same(drawn, expected)
