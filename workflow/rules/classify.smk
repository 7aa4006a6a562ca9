# Reads:  documents of every source, the encoder's wheel
# Writes: results/classify/{labels,classifier,scores}-FINGERPRINT/


rule classify_label:
    input:
        upstream("classify"),
    output:
        "results/classify/{job}/manifest.json",
    log:
        "results/classify/{job}/log.txt",
    benchmark:
        "results/classify/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("classify_label"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.classify --spec results/classify/{wildcards.job}/spec.json"
        " --out results/classify/{wildcards.job} --threads {threads} --log {log}"


rule classify_train:
    input:
        upstream("classify"),
    output:
        "results/classify/{job}/manifest.json",
    log:
        "results/classify/{job}/log.txt",
    benchmark:
        "results/classify/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("classify_train"),
    conda:
        "../../envs/trellis.yaml"
    threads: 2
    resources:
        gpu=gpus(),
    shell:
        "python -m trellis.classify --spec results/classify/{wildcards.job}/spec.json"
        " --out results/classify/{wildcards.job} --threads {threads} --log {log}"


rule classify_score:
    input:
        upstream("classify"),
    output:
        "results/classify/{job}/manifest.json",
    log:
        "results/classify/{job}/log.txt",
    benchmark:
        "results/classify/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("classify_score"),
    conda:
        "../../envs/trellis.yaml"
    threads: 2
    resources:
        gpu=gpus(),
    shell:
        "python -m trellis.classify --spec results/classify/{wildcards.job}/spec.json"
        " --out results/classify/{wildcards.job} --threads {threads} --log {log}"
