# Decoded pixels of one split; the name holds the digest of the files that they come from. They come before all else: a
# run whose target is not decoded yet could not be evaluated, and would wait.


rule cache:
    output:
        "results/.cache/{suite}/{domain}--{split}--{what}--{digest}.json",
    log:
        "results/.cache/{suite}/{domain}--{split}--{what}--{digest}.log",
    benchmark:
        "results/.cache/{suite}/{domain}--{split}--{what}--{digest}.time"
    priority: 4
    threads: 1
    resources:
        **requests("cache"),
    shell:
        "exec xdseg cache {output} > {log} 2>&1"
