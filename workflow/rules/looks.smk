# Jobs that look into trained cells: steering, probes, signs, the latent browser. Each has a section of the
# configuration, which says what its jobs read and make.

from pipeline.jobs.json_files import digest
from pipeline.study.study_config import LOOKS

for kind in LOOKS:

    rule:
        name:
            f"{kind}_run"
        input:
            unpack(lambda wildcards, kind=kind: inputs.look(kind, wildcards.look)),
        output:
            study.look_file(kind),
        log:
            at("logs", kind, "{look}.log"),
        wildcard_constraints:
            look=".+",
        priority: 1  # before cells of other sweeps: what a job found stays when the run is stopped
        threads: LOOKS[kind].THREADS
        resources:
            **GPU,
            **requests.of(f"{kind}_run"),
        params:
            **DEVICE,
            kind=kind,
            spec=lambda wildcards, kind=kind: study.shared_spec(
                kind, digest(study.look_spec(kind, wildcards.look))
            ),
            cells_root=at("cells"),
            files=lambda wildcards, input: [
                word
                for name, files in input.items()
                if name not in ("metrics", "weights", "configuration")
                for word in (
                    f"--{name.replace('_', '-')}",
                    *([files] if isinstance(files, str) else files),
                )
            ],
        shell:
            LEASE
            + "python -m pipeline {params.kind:q} --spec @{params.spec:q} --cells-root {params.cells_root:q}"
            " {params.files:q} --device {params.device:q} --out {output:q} --log {log:q}"


rule browser:
    input:
        browser_pages,
    localrule: True


rule browser_page:
    input:
        lambda wildcards: [study.look_file("browser", look) for look in study.looks["browser"]],
    output:
        study.browser_page,
    log:
        at("logs/browser/page.log"),
    localrule: True
    params:
        scope=study.shared_specs["scope"],
    shell:
        "python -m pipeline browser-page --scope {params.scope:q} --cells {input:q} --out {output:q} --log {log:q}"
