# Reads:  documents, the encoder of each classifier; a labelling model's endpoint where the experiment names one
# Writes: results/classify/{labels,classifier}-CLASSIFIER-FINGERPRINT/ and, for the sources of wheels together and for each
#         shard of the others, results/classify/scores-CLASSIFIER[-SHARD]-FINGERPRINT/


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
