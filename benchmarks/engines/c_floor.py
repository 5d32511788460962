"""How fast a processor can walk these trees: a branch-free kernel in C, compiled on the spot.

The same folded trees, in double, summed in tree order, so the same bits. Every row takes as many steps as its tree is
deep; a leaf leads to itself. No step depends on a branch, so the order of rows does not matter, and rows without
missing readings are taken for granted.
"""

from __future__ import annotations

import ctypes
import itertools
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.engines.base import UnavailableError, c_compiler
from benchmarks.workload import Workload

from ev_qa_framework.forest import FlatForest
from ev_qa_runtime.severity import FloatArray, scores_from_path_length

NAME = "branch-free C floor"
FLAGS = ("-O3", "-march=native", "-fno-tree-vectorize", "-shared", "-fPIC")  # gathers are slower than single loads
NODE = np.dtype([("threshold", np.float64), ("child", np.int32), ("column", np.int32)])
SOURCE = Path(__file__).with_name("c_floor.c")


class CFloor:
    """``c_floor.c`` over flat trees, called through ctypes."""

    name = NAME
    setup = "`engines/c_floor.c`: the folded trees, branch-free, 16 rows side by side, `cc -O3 -march=native`, doubles"
    same_forest, floor, threads = True, True, True

    def prepare(self, workload: Workload) -> None:
        library = workload.stem.parent / "c_floor.so"
        command = [c_compiler(), *FLAGS, "-o", str(library), str(SOURCE)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise UnavailableError(f"the C compiler failed: {done.stderr.strip().splitlines()[0]}")
        self._function = ctypes.CDLL(str(library)).path_lengths
        self._function.restype = None
        self._denominator = workload.forest.denominator
        self._root, self._steps, column, child, threshold, self._value = flattened(workload.forest)
        self._nodes = np.empty(len(child), NODE)
        self._nodes["threshold"], self._nodes["child"], self._nodes["column"] = threshold, child, column

    def score_samples(self, rows: FloatArray, threads: int = 1) -> FloatArray:
        total = np.empty(len(rows))
        cuts = np.linspace(0, len(rows), threads + 1).astype(int)
        parts = [(rows[first:last], total[first:last]) for first, last in itertools.pairwise(cuts)]
        if threads == 1:
            self._sum(*parts[0])
        else:
            with ThreadPoolExecutor(threads) as pool:  # ctypes lets other threads run meanwhile
                list(pool.map(self._sum, *zip(*parts, strict=True)))
        return scores_from_path_length(total, self._denominator)

    def _sum(self, rows: FloatArray, total: FloatArray) -> None:
        arrays = (self._root, self._steps, self._nodes, self._value)
        counts = (ctypes.c_int64(len(rows)), ctypes.c_int64(rows.shape[1]), ctypes.c_int64(len(self._root)))
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in (rows, *arrays, total))
        self._function(*counts, *pointers)


def flattened(forest: FlatForest) -> tuple[npt.NDArray[Any], ...]:
    """Root and steps by tree; column, child, threshold and value by node, breadth first, children side by side.

    A node's left child is ``child``, its right one the next; a leaf is its own child, below a threshold of infinity.
    """
    root: list[int] = []
    steps: list[int] = []
    column: list[int] = []
    child: list[int] = []
    threshold: list[float] = []
    value: list[float] = []

    def add() -> None:
        column.append(0)
        child.append(0)
        threshold.append(np.inf)
        value.append(0.0)

    for first in forest.root.tolist():
        root.append(len(column))
        level, depth = [(first, False)], 0
        add()
        places = [root[-1]]
        while level:
            below: list[tuple[int, bool]] = []
            below_places: list[int] = []
            for (node, is_leaf), place in zip(level, places, strict=True):
                if is_leaf:
                    child[place], value[place] = place, float(forest.leaf_value[node])
                    continue
                column[place], threshold[place] = int(forest.column[node]), float(forest.threshold[node])
                child[place] = len(column)
                for side, side_is_leaf in (
                    (forest.left[node], forest.left_is_leaf[node]),
                    (forest.right[node], forest.right_is_leaf[node]),
                ):
                    below.append((int(side), bool(side_is_leaf)))
                    below_places.append(len(column))
                    add()
            depth += bool(below)
            level, places = below, below_places
        steps.append(depth)
    types = (np.int32, np.int32, np.int32, np.int32, np.float64, np.float64)
    tables = (root, steps, column, child, threshold, value)
    return tuple(np.array(table, dtype=kind) for table, kind in zip(tables, types, strict=True))
