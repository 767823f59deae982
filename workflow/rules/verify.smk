# Checks of everything that the study has on disk. It makes nothing, so it runs whenever it is asked.


rule verify:
    log:
        at("logs/verify.log"),
    localrule: True
    threads: 16
    params:
        config=SPECS["configuration"],
    shell:
        "python -m pipeline verify --configuration {params.config:q} --log {log:q}"
