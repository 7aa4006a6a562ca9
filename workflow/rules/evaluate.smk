# Reads:  schema pool, fine-tuning data, base and fine-tuned models
# Writes: results/evaluate/{schemas,items-SUITE,distance,generate-MODEL-SEED-SUITE,score-MODEL-SEED,knowledge-MODEL-SEED,
#         compare}-FINGERPRINT/


rule evaluate_schemas:
    input:
        upstream("evaluate"),
    output:
        "results/evaluate/{job}/manifest.json",
    log:
        "results/evaluate/{job}/log.txt",
    benchmark:
        "results/evaluate/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("evaluate_schemas"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.evaluate --spec results/evaluate/{wildcards.job}/spec.json"
        " --out results/evaluate/{wildcards.job} --threads {threads} --log {log}"


rule evaluate_items:
    input:
        upstream("evaluate"),
    output:
        "results/evaluate/{job}/manifest.json",
    log:
        "results/evaluate/{job}/log.txt",
    benchmark:
        "results/evaluate/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("evaluate_items"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.evaluate --spec results/evaluate/{wildcards.job}/spec.json"
        " --out results/evaluate/{wildcards.job} --threads {threads} --log {log}"


rule evaluate_distance:
    input:
        upstream("evaluate"),
    output:
        "results/evaluate/{job}/manifest.json",
    log:
        "results/evaluate/{job}/log.txt",
    benchmark:
        "results/evaluate/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("evaluate_distance"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.evaluate --spec results/evaluate/{wildcards.job}/spec.json"
        " --out results/evaluate/{wildcards.job} --threads {threads} --log {log}"


rule evaluate_generate:
    input:
        upstream("evaluate"),
    output:
        "results/evaluate/{job}/manifest.json",
    log:
        "results/evaluate/{job}/log.txt",
    benchmark:
        "results/evaluate/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("evaluate_generate"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    resources:
        gpu=gpus(),
    shell:
        "python -m trellis.evaluate --spec results/evaluate/{wildcards.job}/spec.json"
        " --out results/evaluate/{wildcards.job} --threads {threads} --log {log}"


rule evaluate_knowledge:
    input:
        upstream("evaluate"),
    output:
        "results/evaluate/{job}/manifest.json",
    log:
        "results/evaluate/{job}/log.txt",
    benchmark:
        "results/evaluate/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("evaluate_knowledge"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    resources:
        gpu=gpus(),
    shell:
        "python -m trellis.evaluate --spec results/evaluate/{wildcards.job}/spec.json"
        " --out results/evaluate/{wildcards.job} --threads {threads} --log {log}"


rule evaluate_score:
    input:
        upstream("evaluate"),
    output:
        "results/evaluate/{job}/manifest.json",
    log:
        "results/evaluate/{job}/log.txt",
    benchmark:
        "results/evaluate/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("evaluate_score"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.evaluate --spec results/evaluate/{wildcards.job}/spec.json"
        " --out results/evaluate/{wildcards.job} --threads {threads} --log {log}"


rule evaluate_compare:
    input:
        upstream("evaluate"),
    output:
        "results/evaluate/{job}/manifest.json",
    log:
        "results/evaluate/{job}/log.txt",
    benchmark:
        "results/evaluate/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("evaluate_compare"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.evaluate --spec results/evaluate/{wildcards.job}/spec.json"
        " --out results/evaluate/{wildcards.job} --threads {threads} --log {log}"
