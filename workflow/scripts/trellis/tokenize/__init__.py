"""From documents to the rows that a model reads.

tokenizer  reads `documents` of every source (kind train) or `files` (a wheel, a repository); a file on this machine comes by
           its hash (config `local`). Config `shares`: tokens by source, in whose proportion a trained tokenizer samples its
           text, or null; `validation_share` and `validation_seed`: the selection's split, whose text it does not read.
           A given one must be byte-level: the bytes behind its tokens are counted.
           `tokenizer/`: tokenizer.json, tokenizer_config.json; every token id is below `vocab_size`.
           metrics: vocab_size (tokens that there are), special_tokens {token: id}; of a trained one sample_documents and
           sample_bytes {source: bytes}.
encode     reads `documents` (one shard, or all sources of wheels) and `tokenizer`: every document's tokens, once.
           tokens/SOURCE.bin: uint16, little-endian, document after document in the documents' order, each followed by
               `<|endoftext|>`; a document that spells a special token out holds its text.
           tokens/SOURCE.parquet, in the same order: doc_id uint64, n_tokens uint32 (without the end of text).
           tokens/SOURCE.json: {documents, tokens (with the ends), dtype, tokenizer_sha256, sha256 (of the .bin)}.
           metrics: sources.SOURCE.{documents, tokens, bytes (of text), licences}.
pack       reads `tokens` of all shards, `selected` (the documents of one mixture) and `tokenizer`.
           train/SOURCE.bin and validation/SOURCE.bin: uint16. A row is `context + 1` tokens; rows of a source lie `context`
               tokens apart, so that the last target of a row is the first input of the next: row r is
               tokens[r * context : (r + 1) * context + 1]. Every document is whole and in one piece, but for the last of a
               source, which ends where the budget does: a row's end cuts a document only where it lies.
           train/order.npy: uint32, a permutation (PCG64) of all training rows, numbered source by source in the order of
               `mixture.json`: the rows that a model reads at a step are a pure function of the step.
           mixture.json: context, rows, tokens; sources [{source, asked_tokens, granted_tokens, rows, repeat, documents
               (that are read), unique_documents, unique_tokens, left_over_tokens (of the last document, past the last row),
               cut_documents (that a row's end cuts more often than their length makes necessary), cut_in_reading_order (the
               same, had they been concatenated), licences}]; validation [{source, rows, bytes (of the targets' text)}].
           metrics: the same as mixture.json.
"""
