"""Configurations for hypothesis: valid ones over every field."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pipeline.study.cell import Cell
from sagsae.autoencoders.registry import VARIANTS, K
from sagsae.schedules import uses

Config = dict[str, Any]

STANDARD = ("mlp_out", "attn", "resid")
ODD_FOLDERS = (
    "out put/it's",
    "$(touch INJECTED)",
    "`touch INJECTED`; #",
    'say "a" & b | c > d',
    "../beside",
    "/absolute/é",
    "back\\slash %s *?[x]",
)

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,9}", fullmatch=True) | st.just(("long-name-" * 7)[:64])
model_names = names.filter(lambda name: name != "text")
hookpoint_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,9}", fullmatch=True).filter(
    lambda name: name not in ("token_id", "doc_id", "position")
)
texts = st.text(max_size=12)
folders = st.sampled_from(["results", "a/b", *ODD_FOLDERS]) | st.from_regex(
    r"[a-zA-Z0-9_. ][a-zA-Z0-9_. /'\"$;&()-]{0,20}", fullmatch=True
)
paths = st.from_regex(r"[a-zA-Z0-9_.{}/ -]{1,9}", fullmatch=True)
counts = st.integers(1, 10**6)
seeds = st.integers(0, 2**53)
digests = st.integers(0, 2**256 - 1).map("{:064x}".format)
positive = st.floats(1e-12, 1e12) | st.integers(1, 1000)
fractions = st.floats(1e-6, 0.999)
shares = st.floats(0, 1) | st.sampled_from([0, 1])
lambdas = st.floats(1e-9, 1e9).map(lambda value: float(format(value, "g"))) | st.integers(1, 9)


def section(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[Config]:
    """A section with all its required keys and any of its others."""
    return st.fixed_dictionaries(required, optional=optional)


wheels = section(
    {
        "package": st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True),
        "version": st.from_regex(r"[0-9][0-9a-z.!+]{0,8}", fullmatch=True),
        "sha256": digests,
        "member": texts,
    }
)
wheel_file = {
    "kind": st.just("wheels"),
    "wheels": st.lists(wheels, min_size=1, max_size=3),
    "sha256": digests,
}
repositories = st.from_regex(
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,9}(/[A-Za-z0-9_]{1,9})?", fullmatch=True
)
values = (
    st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.sampled_from(["full_attention", "gelu", ""])
)
model_sources = st.one_of(
    section(wheel_file, terms=texts),
    section({"kind": st.just("hub"), "repo": repositories}, revision=texts),
    section({"kind": st.just("path"), "path": paths}),
    section(
        {
            "kind": st.just("random"),
            "architecture": st.sampled_from(["gpt_neox", "smollm3", "llama", "gemma3_text"]),
        },
        parameters=st.dictionaries(
            st.from_regex("[a-z_]{1,9}", fullmatch=True), values, max_size=3
        ),
        seed=seeds,
    ),
)
text_sources = st.one_of(
    section(wheel_file, terms=texts, column=texts, format=st.sampled_from(["json", "python"])),
    section(
        {"kind": st.just("hub"), "repo": repositories},
        name=texts,
        data_files=st.lists(paths, max_size=2),
        split=texts,
        revision=texts,
        column=texts,
        shuffle_buffer=counts,
    ),
    section(
        {"kind": st.just("files"), "paths": st.lists(paths, min_size=1, max_size=3)}, column=texts
    ),
    section(
        {"kind": st.just("random")}, documents=counts, words=counts, vocabulary=counts, seed=seeds
    ),
)
patterns = st.sampled_from(["a", "(?:x+)?<b>", "\n", "[{}]", " "])


@st.composite
def named_sources(draw: st.DrawFn) -> list[Config]:
    """Several sources; those of the hub have a cap."""
    found = []
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        source = draw(text_sources)
        need = {"max_documents": counts} if source["kind"] == "hub" else {}
        changes = st.lists(section({"pattern": patterns, "by": texts}), max_size=2)
        rest = {"max_characters": counts, "split_at": patterns}
        rest |= {} if need else {"max_documents": counts}
        given = {"name": st.just(name), "source": st.just(source), **need}
        found.append(draw(section(given, replace=changes, **rest)))
    return found


ways = {
    "context_length": st.integers(8, 4096),
    "heldout_fraction": st.floats(1e-6, 0.5),
    "seed": seeds,
}
text_sections = section({"source": text_sources}, **ways) | section(
    {"sources": named_sources()}, **ways
)
training = st.integers(1, 5000).flatmap(
    lambda batch: section(
        {"tokens": st.integers(batch, batch * 1000), "batch_size": st.just(batch)},
        learning_rate=positive,
        beta1=st.floats(0, 0.999),
        beta2=st.floats(0, 0.999),
        lr_warmup_steps=seeds,
        lr_decay_fraction=shares,
        lambda_warmup_steps=seeds,
        theta_init=st.floats(0, 100),
        b_dec_init=st.sampled_from(["mean", "zero"]),
        gate_init=st.sampled_from(["zero", "matched"]),
        clip_gradient_norm=st.floats(0, 100),
        decoder_norm=st.sampled_from(["unit", "free"]),
        decoder_init_norm=st.just(1),
        auxiliary_decoder=st.sampled_from(["frozen", "trained"]),
        reset_window_tokens=seeds,
        matmul_dtype=st.sampled_from(["auto", "bfloat16", "float32"]),
        group_chunks=counts,
    )
)
evaluations = section({}, lr_contexts=counts, batch_contexts=counts, lr_noise_gap=positive)
dials = section(
    {},
    latents=seeds,
    pairs=seeds,
    random=counts,
    alphas=st.lists(positive, min_size=1, max_size=3, unique_by=float).map(sorted),
    contexts=st.integers(4, 64),
    positions=counts,
    tokens=counts,
    seeds=counts,
    batch_contexts=counts,
)
probes = section(
    {},
    labels=st.lists(
        st.sampled_from(["letter", "digit", "word"]), min_size=1, max_size=3, unique=True
    ),
    ks=st.lists(st.integers(1, 256), min_size=1, max_size=3, unique=True).map(sorted),
    train_rows=st.integers(60, 8000),
    test_rows=st.integers(60, 2000),
    test_share=st.floats(0.01, 0.99),
    least_rows=st.integers(1, 30),
    seeds=counts,
    seed=seeds,
)
browsers = section({}, top=counts, samples=seeds, window=seeds, promoted=counts)
kept_in = folders | st.just("")
trackings = section(
    {},
    wandb=section(
        {},
        project=texts,
        entity=texts,
        mode=st.sampled_from(["online", "offline"]),
        folder=kept_in,
    ),
    tensorboard=section({}, folder=kept_in),
    mlflow=section({}, uri=texts, experiment=texts),
)
formats = section(
    {},
    figures=st.lists(st.sampled_from(["svg", "pdf"]), unique=True),
    tables=st.lists(st.sampled_from(["latex", "parquet"]), unique=True),
)
sizes = st.fixed_dictionaries({"expansion": st.floats(1e-3, 1e6) | st.integers(1, 64)}) | (
    st.fixed_dictionaries({"width": st.integers(1, 10**9)})
)
contenders = st.tuples(st.sampled_from(sorted(VARIANTS)), sizes).map(
    lambda both: {"variant": both[0], **both[1]}
)
comparisons = section(
    {"candidate": contenders, "baseline": contenders},
    matched_l0=st.lists(positive, max_size=3),
)


@st.composite
def dumps(draw: st.DrawFn) -> Config:
    """Whole chunks per block and at least one block per split."""
    chunk = draw(st.integers(1, 5000))
    block = chunk * draw(st.integers(1, 100))
    rows = st.integers(block, block * 500)  # no more files than one folder bears
    required = {
        "train_rows": rows,
        "heldout_rows": rows,
        "rows_per_block": st.just(block),
        "rows_per_chunk": st.just(chunk),
    }
    return draw(
        section(
            required,
            profile=st.sampled_from(["plain", "disk"]),
            max_norm_ratio=positive,
            calibration_contexts=counts,
            batch_contexts=counts,
            slack=fractions,
            sharded=st.booleans(),
        )
    )


@st.composite
def module_paths(draw: st.DrawFn) -> str:
    """A dotted path in which ``{layer}`` may stand anywhere."""
    part = st.from_regex(r"[A-Za-z0-9_]{1,6}", fullmatch=True) | st.sampled_from(
        ["{layer}", "h{layer}"]
    )
    return ".".join(draw(st.lists(part, min_size=1, max_size=4)))


@st.composite
def models(draw: st.DrawFn, name: str, hookpoints: list[str]) -> Config:
    """One that knows a module for each hookpoint."""
    model = draw(
        section(
            {
                "name": st.just(name),
                "source": model_sources,
                "d_model": st.integers(1, 8192),
                "layer": st.integers(0, 200),
            },
            start_token=st.sampled_from(["bos", "eos", "none"]),
            dtype=st.sampled_from(["bfloat16", "float32"]),
        )
    )
    if not set(hookpoints) <= set(STANDARD) or draw(st.booleans()):
        model["hookpoints"] = {hookpoint: draw(module_paths()) for hookpoint in hookpoints}
    return model


@st.composite
def recipe_sections(draw: st.DrawFn) -> dict[str, Config]:
    """Recipes that extend each other and have a learning rate each."""
    found: dict[str, Config] = {}
    for name in draw(st.lists(names.filter("default".__ne__), max_size=3, unique=True)):
        variants = st.lists(st.sampled_from(sorted(VARIANTS)), min_size=1, unique=True)
        found[name] = draw(
            section(
                {
                    "extends": st.sampled_from(["default", *found]),
                    "training": section(
                        {"learning_rate": st.just(0.07 + len(found))},
                        beta1=st.floats(0, 0.999),
                        lr_decay_fraction=shares,
                        theta_init=st.floats(0, 100),
                    ),
                },
                note=texts,
                variants=variants,
                factors=st.dictionaries(hookpoint_names, texts, max_size=2),
            )
        )
    return found


def recipes_for(variant: str, recipes: dict[str, Config]) -> list[str]:
    """Those that a grid entry of a variant may name."""
    named = [
        name for name, recipe in recipes.items() if variant in recipe.get("variants", [variant])
    ]
    return ["default", *named]


@st.composite
def grids(
    draw: st.DrawFn, model_names: list[str], hookpoints: list[str], recipes: dict[str, Config]
) -> list[Config]:
    """Entries that share no cell, as no two of them share a seed."""
    pool = draw(st.lists(seeds, unique=True, min_size=1, max_size=4))
    entries = []
    while pool:
        count = draw(st.integers(1, len(pool)))
        mine, pool = pool[:count], pool[count:]
        entry = draw(contenders) | {"seeds": mine}
        if VARIANTS[entry["variant"]].knob == K:
            entry["ks"] = [1]  # of any width
        else:
            entry["lambdas"] = draw(st.lists(lambdas, unique_by=float, min_size=1, max_size=3))
        named = recipes_for(entry["variant"], recipes)
        known_names = {"models": model_names, "hookpoints": hookpoints, "recipes": named}
        for field, known in known_names.items():
            if draw(st.booleans()):
                some = st.lists(st.sampled_from(known), min_size=1, unique=True)
                entry[field] = draw(some)
        entries.append(entry)
    return entries


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    """A valid configuration file, parsed."""
    hookpoints = draw(
        st.lists(st.sampled_from(STANDARD), min_size=1, unique=True)
        | st.lists(hookpoint_names, min_size=1, max_size=3, unique=True)
    )
    own = draw(st.lists(model_names, min_size=1, max_size=3, unique=True))
    config = draw(
        section(
            {
                "study": names,
                "text": text_sections,
                "dump": dumps(),
                "training": training,
            },
            note=texts,
            results=folders,
            cache=folders | st.just(""),
            device=st.sampled_from(["auto", "cpu", "cuda"]),
            jobs_per_gpu=counts,
            checkpoint_seconds=counts,
            evaluation=evaluations,
            comparisons=st.lists(comparisons, max_size=2),
            tracking=trackings,
            formats=formats,
        )
    )
    recipes = draw(recipe_sections())
    contexts = config.get("evaluation", {}).get("lr_contexts", 64)
    if config.get("comparisons"):
        named = {"models": own, "hookpoints": hookpoints, "recipes": ["default", *recipes]}
        asked = {"browser": draw(browsers)} if draw(st.booleans()) else {}
        if contexts >= 4 and draw(st.booleans()):
            asked["dial"] = draw(dials) | {"contexts": draw(st.integers(4, contexts))}
        if draw(st.booleans()):
            asked["probe"] = draw(probes)
        for section_asked in asked.values():
            for field, known in named.items():
                if draw(st.booleans()):
                    some = st.lists(st.sampled_from(known), min_size=1, unique=True)
                    section_asked[field] = draw(some)
        config |= asked
    grid = draw(grids(own, hookpoints, recipes))
    _drop_idle(config["training"], {entry["variant"] for entry in grid})
    for recipe in recipes.values():
        variants = recipe.get("variants", [entry["variant"] for entry in grid])
        _drop_idle(recipe.get("training", {}), set(variants))
    return config | {
        "recipes": recipes,
        "models": [draw(models(name, hookpoints)) for name in own],
        "hookpoints": hookpoints,
        "grid": grid,
    }


def _drop_idle(training: Config, variants: set[str]) -> None:
    """Leave out the settings that mean nothing for any of the variants."""
    for setting in [*training]:
        if not any(uses(variant, setting) for variant in variants):
            del training[setting]


def cells_expected(config: Config) -> int:
    """How many cells a valid configuration asks for."""
    models, hookpoints = len(config["models"]), len(config["hookpoints"])
    return sum(
        len(entry.get("models", range(models)))
        * len(entry.get("hookpoints", range(hookpoints)))
        * len(entry.get("recipes", [""]))
        * len(entry.get("lambdas") or entry["ks"])
        * len(entry["seeds"])
        for entry in config["grid"]
    )


def models_used(config: Config) -> set[str]:
    """Names of the models that some cell needs; no other is fetched or run."""
    names = [model["name"] for model in config["models"]]
    return {name for entry in config["grid"] for name in entry.get("models", names)}


knobs = st.floats(1e-300, 1e300).map(lambda value: {"lam": float(format(value, "g"))}) | (
    st.integers(1, 10**15).map(lambda k: {"k": k})
)
cells = st.builds(
    lambda knob, **names: Cell(**names, **knob),
    knobs,
    model=names,
    hookpoint=hookpoint_names,
    variant=st.sampled_from(sorted(VARIANTS)),
    width=st.integers(1, 10**15),
    seed=seeds,
)


@st.composite
def respelt(draw: st.DrawFn) -> tuple[Cell, dict[str, str], str]:
    """A cell, the text of its name with one number written otherwise, and the right spelling."""
    cell = draw(cells)
    text = dict(cell.words)
    field = draw(st.sampled_from(["width", "seed", "knob"]))
    prefix = {"width": "w", "seed": "seed", "knob": cell.knob_name}[field]
    right = text[field].removeprefix(prefix) if field == "knob" else text[field]
    changes = [f"0{right}", f"+{right}", f" {right}", f"{right} ", f"{right}\n", f"0_{right}"]
    changes += [right.translate(WIDE)]
    if field == "knob" and cell.lam is not None:
        changes += [f"{cell.lam:.17e}", f"{right}E0"] if "e" not in right else [right.upper()]
        changes += [f"{right}0"] if "." in right and "e" not in right else []
    text[field] = (prefix if field == "knob" else "") + draw(st.sampled_from(changes))
    return cell, text, prefix + right


WIDE = {ord(digit): 0xFF10 + int(digit) for digit in "0123456789"}
"""ASCII digits to full-width ones, which Python reads as numbers too."""
