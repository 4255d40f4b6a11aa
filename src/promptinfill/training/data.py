"""From a recipe's sources to tokenised data sets, checked whole before training starts."""

import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from promptinfill.data.encoding import RESPONSE, EncodedSequence, Tokens, encode_segments
from promptinfill.data.records import read_hub, read_jsonl, record_segments
from promptinfill.data.tokenized import TokenizedDataset
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.templates import Segment, Template
from promptinfill.training.recipe import DataSection, MicroTasks, Source

_BLOCK = 2_000  # records tokenised at once
_SHARD = 20_000  # generated records per worker job


def load_source(
    dlm: MaskedDiffusionLM,
    source: Source,
    section: DataSection,
    *,
    cache: Path | None = None,
    workers: int | None = None,
) -> TokenizedDataset:
    """Tokenise one source. Generated records are made in parallel and cached under ``cache``.

    Raises:
        DataError: names file:line of the first broken record.
    """
    if source.microtasks is not None:
        return _generated(dlm, source.microtasks, section, cache, workers)
    template = Template(source.template, source.response) if source.template else None
    segments = (
        record_segments(where, record, template=template, tokenizer=dlm.tokenizer)
        for where, record in _raw_records(source)
    )
    return TokenizedDataset.from_sequences(
        _encode(dlm, segments, section), max_length=section.max_length
    )


def _raw_records(source: Source) -> Iterable[tuple[str, dict[str, Any]]]:
    if source.hub is not None:
        return read_hub(source.hub.id, source.hub.split, source.hub.revision)
    return itertools.chain.from_iterable(read_jsonl(Path(name)) for name in source.files)


def _encode(
    dlm: MaskedDiffusionLM | Tokens, segments: Iterable[tuple[Segment, ...]], section: DataSection
) -> Iterator[EncodedSequence]:
    segments = iter(segments)
    while block := list(itertools.islice(segments, _BLOCK)):
        for sequence in encode_segments(dlm, block, end=True):
            for _ in range(_padding(sequence, section.eos_padding)):
                sequence.append(dlm.eos_token_id, RESPONSE)
            yield sequence


def _padding(sequence: EncodedSequence, most: int) -> int:
    """How many EOS tokens follow the first, 0 to ``most``: a function of the text alone.

    Few are likelier than many (the square of a uniform), so that padding costs little training.
    """
    digest = hashlib.blake2b(repr(sequence.ids).encode(), digest_size=4).digest()
    share = int.from_bytes(digest, "big") / 2**32
    return int(share * share * (most + 1))


def _generated(
    dlm: MaskedDiffusionLM,
    wanted: MicroTasks,
    section: DataSection,
    cache: Path | None,
    workers: int | None,
) -> TokenizedDataset:
    name = f"microtasks-{_cache_key(dlm, wanted, section)}.npz"
    if cache is not None and (cache / name).is_file():
        return TokenizedDataset.load(cache / name)
    shards = [
        (Tokens.of(dlm), wanted, section, start, min(start + _SHARD, wanted.count))
        for start in range(0, wanted.count, _SHARD)
    ]
    count = min(workers or os.cpu_count() or 1, len(shards))
    # Workers that do not fork (Windows) would import everything anew; one process is simpler there.
    if count > 1 and "fork" in multiprocessing.get_all_start_methods():
        with _ignoring_ctrl_c():
            workers_pool = multiprocessing.get_context("fork").Pool(count)
        with workers_pool as pool:
            data = TokenizedDataset.concatenate(pool.map(_generate_shard, shards, chunksize=1))
    else:
        data = TokenizedDataset.concatenate([_generate_shard(shard) for shard in shards])
    if cache is not None:
        data.save(cache / name)
    return data


def _cache_key(dlm: MaskedDiffusionLM, wanted: MicroTasks, section: DataSection) -> str:
    """Changes with the request, the tokenizer, and what the generator makes of it."""
    from promptinfill.microtasks.generator import records

    first = list(records(wanted.seed, 200, wanted.split))
    settings = [wanted.model_dump(), section.max_length, section.eos_padding]
    tokenizer = dlm.tokenizer.backend_tokenizer.to_str()
    content = json.dumps([settings, tokenizer, repr(first)])
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


@contextlib.contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Processes forked meanwhile ignore Ctrl-C, which reaches every process of a terminal.

    The one that owns the pool answers for all. (Set before the fork: a worker's initializer would
    leave a moment in which it does not hold. Only the main thread may set it.)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def _generate_shard(
    shard: tuple[Tokens, MicroTasks, DataSection, int, int],
) -> TokenizedDataset:
    from promptinfill.microtasks.generator import records
    from promptinfill.microtasks.segments import record_segments as generated_segments

    tokens, wanted, section, start, stop = shard
    made = records(wanted.seed, stop - start, wanted.split, start=start)
    return TokenizedDataset.from_sequences(
        _encode(tokens, (generated_segments(record) for record in made), section),
        max_length=section.max_length,
    )
