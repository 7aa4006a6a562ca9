# Reads:  documents, scores, the tokenizer, the texts to decontaminate against
# Writes: results/filter/{features,duplicates,select-MIXTURE}-FINGERPRINT/


rule filter_features:
    input:
        upstream("filter"),
    output:
        "results/filter/{job}/manifest.json",
    log:
        "results/filter/{job}/log.txt",
    benchmark:
        "results/filter/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("filter_features"),
    conda:
        "../../envs/trellis.yaml"
    threads: 2
    shell:
        "python -m trellis.filter --spec results/filter/{wildcards.job}/spec.json"
        " --out results/filter/{wildcards.job} --threads {threads} --log {log}"


rule filter_duplicates:
    input:
        upstream("filter"),
    output:
        "results/filter/{job}/manifest.json",
    log:
        "results/filter/{job}/log.txt",
    benchmark:
        "results/filter/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("filter_duplicates"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.filter --spec results/filter/{wildcards.job}/spec.json"
        " --out results/filter/{wildcards.job} --threads {threads} --log {log}"


rule filter_select:
    input:
        upstream("filter"),
    output:
        "results/filter/{job}/manifest.json",
    log:
        "results/filter/{job}/log.txt",
    benchmark:
        "results/filter/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("filter_select"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.filter --spec results/filter/{wildcards.job}/spec.json"
        " --out results/filter/{wildcards.job} --threads {threads} --log {log}"
