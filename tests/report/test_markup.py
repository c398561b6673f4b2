"""Text is escaped unless it was built as markup."""

from __future__ import annotations

import pytest

from keras_compress.report.markup import Markup, element, join, text


def test_text_and_attributes_are_escaped():
    assert element("td", "<b>&\"'") == "<td>&lt;b&gt;&amp;&quot;&#x27;</td>"
    assert element("td", title='"><script>') == '<td title="&quot;&gt;&lt;script&gt;"></td>'
    assert join("<", Markup("<br>"), None, 3) == "&lt;<br>3"


def test_markup_is_kept_and_never_escaped_twice():
    inner = element("b", "1 < 2")
    assert element("p", inner) == "<p><b>1 &lt; 2</b></p>"
    assert text(text("<")) == "&lt;"


def test_attributes():
    assert element("th", class_="a b", scope="col", hidden=True, lang=None, open=False) == (
        '<th class="a b" scope="col" hidden></th>'
    )
    assert element("span", aria_hidden="true") == '<span aria-hidden="true"></span>'
    with pytest.raises(ValueError, match="attribute"):
        element("p", **{"onclick x": "1"})


def test_elements_that_are_never_closed():
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert element("path", d="M0 0") == '<path d="M0 0"></path>'


def test_characters_html_forbids_are_replaced():
    assert text("a\x00b\x1b\ud800\ufffe") == "a\ufffdb\ufffd\ufffd\ufffd"
    assert text("tab\tline\n") == "tab\tline\n"
    text("\udfff").encode()
