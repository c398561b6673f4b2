from __future__ import annotations

from keras_compress.report.markup import Markup
from keras_compress.report.reading import Node


def bench_section(node: Node | None) -> Markup:
    return Markup("")
