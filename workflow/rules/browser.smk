# The latent browser: static pages, where section browser asks.

from pipeline.jobs.json_files import digest
from pipeline.study.browser import read_by_browser

browser_spec = lambda wildcards: study.look_spec(study.browser_cell(**wildcards))


rule browser:
    input:
        browser_pages,
    localrule: True


rule browser_cell:
    input:
        unpack(lambda wildcards: read_by_browser(study, wildcards.shown)),
    output:
        study.browser_cell(),
    log:
        study.log("browser", "{shown}"),
    wildcard_constraints:
        shown=".+",
    threads: 1  # two autoencoders at a time on two cores take less than one after the other
    resources:
        **GPU,
        **requests.of("browser_cell"),
    params:
        **DEVICE,
        spec=lambda wildcards: study.shared_spec("browser", digest(browser_spec(wildcards))),
        cells_root=lambda wildcards: study.cells_root,
    shell:
        LEASE
        + "python -m pipeline browser-cell --spec @{params.spec:q} --cells-root {params.cells_root:q}"
        " --heldout-manifest {input.heldout:q} --tokens {input.tokens:q} --asset {input.asset:q}"
        " --dials {input.dials:q} --device {params.device:q} --out {output:q} --log {log:q}"


rule browser_page:
    input:
        lambda wildcards: list(browser_specs(study)),
    output:
        study.browser_page,
    log:
        study.log("browser", "page"),
    localrule: True
    params:
        scope=study.shared_specs["scope"],
    shell:
        "python -m pipeline browser-page --scope {params.scope:q} --cells {input:q} --out {output:q} --log {log:q}"
