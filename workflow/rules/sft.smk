# Reads:  schemas of the training side, pretrained models
# Writes: results/sft/{data,MODEL-sSEED}-FINGERPRINT/


rule sft_data:
    input:
        upstream("sft"),
    output:
        "results/sft/{job}/manifest.json",
    log:
        "results/sft/{job}/log.txt",
    benchmark:
        "results/sft/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("sft_data"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.sft --spec results/sft/{wildcards.job}/spec.json"
        " --out results/sft/{wildcards.job} --threads {threads} --log {log}"


rule sft_train:
    input:
        upstream("sft"),
    output:
        "results/sft/{job}/manifest.json",
    log:
        "results/sft/{job}/log.txt",
    benchmark:
        "results/sft/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("sft_train"),
    retries: 2
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    resources:
        gpu=gpus(),
    shell:
        "python -m trellis.sft --spec results/sft/{wildcards.job}/spec.json"
        " --out results/sft/{wildcards.job} --threads {threads} --log {log}"
