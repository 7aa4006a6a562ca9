# Reads:  documents, selected document ids
# Writes: results/tokenize/{tokenizer,encode[-SHARD],MIXTURE}-FINGERPRINT/


rule tokenize_tokenizer:
    input:
        upstream("tokenize"),
    output:
        "results/tokenize/{job}/manifest.json",
    log:
        "results/tokenize/{job}/log.txt",
    benchmark:
        "results/tokenize/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("tokenize_tokenizer"),
    conda:
        "../../envs/trellis.yaml"
    threads: 2
    shell:
        "python -m trellis.tokenize --spec results/tokenize/{wildcards.job}/spec.json"
        " --out results/tokenize/{wildcards.job} --threads {threads} --log {log}"


rule tokenize_encode:
    input:
        upstream("tokenize"),
    output:
        "results/tokenize/{job}/manifest.json",
    log:
        "results/tokenize/{job}/log.txt",
    benchmark:
        "results/tokenize/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("tokenize_encode"),
    conda:
        "../../envs/trellis.yaml"
    threads: 2
    shell:
        "python -m trellis.tokenize --spec results/tokenize/{wildcards.job}/spec.json"
        " --out results/tokenize/{wildcards.job} --threads {threads} --log {log}"


rule tokenize_pack:
    input:
        upstream("tokenize"),
    output:
        "results/tokenize/{job}/manifest.json",
    log:
        "results/tokenize/{job}/log.txt",
    benchmark:
        "results/tokenize/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("tokenize_pack"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.tokenize --spec results/tokenize/{wildcards.job}/spec.json"
        " --out results/tokenize/{wildcards.job} --threads {threads} --log {log}"
