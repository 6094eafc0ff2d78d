"""How fast the reader is: rows of one kind in every kind of file, beside a plain parser.

`python scripts/bench_read.py --rows 100000`: CPU seconds of each file, and of
parsing alone, by the library that reads such files.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.inputs.read_data import read_data


def rows(count: int) -> list[dict[str, str]]:
    return [
        {
            "instruction": f"Say in a sentence what number {n} has to do with the sea.",
            "input": "It may be about ships. " * (n % 3),
            "output": "The sea has many numbers, and this is one of them. " * (1 + n % 5),
        }
        for n in range(count)
    ]


def write_csv(path: Path, data: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(data[0]))
        writer.writeheader()
        writer.writerows(data)


def lines(data: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in data)


def read_csv(path: Path) -> list[Any]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def parsed(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


FILES: dict[str, tuple[Callable[..., Any], Callable[[Path], Any]]] = {
    "rows.jsonl": (
        lambda path, data: path.write_text(lines(data)),
        lambda path: parsed(path.read_text()),
    ),
    "rows.json": (
        lambda path, data: path.write_text(json.dumps(data, indent=4)),
        lambda path: json.loads(path.read_text()),
    ),
    "rows.jsonl.gz": (
        lambda path, data: path.write_bytes(gzip.compress(lines(data).encode(), 1)),
        lambda path: parsed(gzip.decompress(path.read_bytes()).decode()),
    ),
    "rows.csv": (write_csv, read_csv),
    "rows.parquet": (
        lambda path, data: pq.write_table(pa.Table.from_pylist(data), path),
        lambda path: pq.read_table(path).to_pylist(),
    ),
}


def seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    data = rows(parser.parse_args().rows)
    print(f"{'file':14} {'MB':>6} {'parsed, s':>10} {'read, s':>8} {'rows a second':>14}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (write, parse) in FILES.items():
            path = Path(folder) / name
            write(path, data)
            plain = seconds(partial(parse, path))
            own = seconds(partial(read_data, path, option="--data"))
            size = path.stat().st_size / 1e6
            rate = len(data) / own
            print(f"{name:14} {size:6.1f} {plain:10.2f} {own:8.2f} {rate:14,.0f}")


if __name__ == "__main__":
    main()
