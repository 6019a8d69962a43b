# Small encoders pre-trained on generated images. The defaults lie in backbones/, in git; these rules make them anew:
# `snakemake backbones` in results/, `xdseg pretrain NAME` in backbones/ too.


rule backbone:
    output:
        "results/backbones/{backbone}-{digest}/{backbone}.json",
    log:
        "results/backbones/{backbone}-{digest}/{backbone}.log",
    benchmark:
        "results/backbones/{backbone}-{digest}/{backbone}.time"
    threads: 1
    resources:
        **requests("backbone"),
    shell:
        "exec xdseg pretrain {output} > {log} 2>&1"


rule backbones:
    input:
        plan.backbones,
    localrule: True
    threads: 1
