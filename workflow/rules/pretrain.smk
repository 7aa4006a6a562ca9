# Reads:  a packed mixture or the files of a released model, the tokenizer
# Writes: results/pretrain/MODEL-FINGERPRINT/ (a model folder that transformers loads)


rule pretrain_train:
    input:
        upstream("pretrain"),
    output:
        "results/pretrain/{job}/manifest.json",
    log:
        "results/pretrain/{job}/log.txt",
    benchmark:
        "results/pretrain/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("pretrain_train"),
    retries: 2
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    resources:
        gpu=gpus(PLAN.config.machine.gpus),
    shell:
        launcher()
        + " -m trellis.pretrain --spec results/pretrain/{wildcards.job}/spec.json"
        " --out results/pretrain/{wildcards.job} --threads {threads} --log {log}"


rule pretrain_pretrained:
    input:
        upstream("pretrain"),
    output:
        "results/pretrain/{job}/manifest.json",
    log:
        "results/pretrain/{job}/log.txt",
    benchmark:
        "results/pretrain/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("pretrain_pretrained"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.pretrain --spec results/pretrain/{wildcards.job}/spec.json"
        " --out results/pretrain/{wildcards.job} --threads {threads} --log {log}"
