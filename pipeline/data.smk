# Decoded pixels of one split; the name holds the digest of the files that they come from.


rule cache:
    output:
        "results/.cache/{suite}/{domain}--{split}--{what}--{digest}.json",
    log:
        "results/.cache/{suite}/{domain}--{split}--{what}--{digest}.log",
    benchmark:
        "results/.cache/{suite}/{domain}--{split}--{what}--{digest}.time"
    threads: 1
    resources:
        **requests("cache"),
    shell:
        "exec xdseg cache {output} > {log} 2>&1"
