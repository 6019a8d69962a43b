# XDSeg: data -> train -> predict -> score -> record -> board, over every method x domain pair x seed.
# params.yaml says what exists; overlays: snakemake --configfile pipeline/presets/NAME.yaml


configfile: "params.yaml"


include: "pipeline/common.smk"
include: "pipeline/data.smk"
include: "pipeline/backbones.smk"
include: "pipeline/train.smk"
include: "pipeline/evaluate.smk"
include: "pipeline/report.smk"


# The one step that writes outside results/: tables to reports/, new records to records/. It stands here because
# Snakemake takes no default target from an included file.
rule all:
    default_target: True
    input:
        "{0}/cells.csv".format(plan.board),
    log:
        "results/publish.log",
    localrule: True
    threads: 1
    shell:
        "xdseg publish {input} 2>&1 | tee {log}"
