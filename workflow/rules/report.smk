# Reads:  every manifest of the experiment
# Writes: results/report/report-FINGERPRINT/report.html, and its copy results/report.html


rule report_build:
    input:
        upstream("report"),
    output:
        "results/report/{job}/manifest.json",
    log:
        "results/report/{job}/log.txt",
    benchmark:
        "results/report/{job}/benchmark.tsv"
    wildcard_constraints:
        job=results_of("report_build"),
    conda:
        "../../envs/trellis.yaml"
    threads: 1
    shell:
        "python -m trellis.report --spec results/report/{wildcards.job}/spec.json"
        " --out results/report/{wildcards.job} --threads {threads} --log {log}"


rule report_publish:
    input:
        **wanted_report(),
    output:
        "results/report.html",
    log:
        "results/report/publish-log.txt",
    benchmark:
        "results/report/publish-benchmark.tsv"
    conda:
        "../../envs/trellis.yaml"
    shell:
        "python -m trellis.report.publish --manifest {input.manifest} --to {output} > {log}"
