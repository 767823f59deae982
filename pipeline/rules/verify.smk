# Checks of everything that the study has on disk. It makes nothing, so it runs whenever it is asked.


rule verify:
    log:
        study.log("verify"),
    localrule: True
    threads: 16
    params:
        config=SPECS["configuration"],
        files=lambda wildcards: [str(path) for path in workflow.configfiles],
    shell:
        "python -m pipeline verify --config {params.config:q} --configfile {params.files:q}"
        " --threads {threads} 2> >(tee {log:q} >&2)"
