"""Charts for the terminal and the page."""

import xml.etree.ElementTree as ElementTree

from upwell.cli.chart import Mark, Series, svg_chart, text_chart

PODS = Series("pods", [(0, 0), (5, 4), (10, 0)], step=True)


def test_a_text_chart_is_as_wide_as_it_is_told_and_names_the_highest_value() -> None:
    rows = text_chart([PODS], width=20, height=2)

    assert len(rows) == 4
    assert rows[0].startswith("pods     4 │")
    assert all(len(row) <= len("pods     4 │") + 20 for row in rows)


def test_a_value_holds_until_the_next_one_is_known() -> None:
    top = text_chart([PODS], width=10, height=1)[0].split("│")[1]

    assert top == "     ████ "


def test_a_chart_without_points_is_empty_and_not_an_error() -> None:
    assert text_chart([Series("pods", [])], width=10, height=1)[0].endswith("│" + " " * 10)
    ElementTree.fromstring(svg_chart([[Series("pods", [])]]))


def test_an_svg_is_well_formed_whatever_the_names_hold() -> None:
    svg = svg_chart([[PODS, Series("<in> & out", [(0, 1), (10, 2)])]], [Mark(3, "a < b")])

    root = ElementTree.fromstring(svg)
    paths = [element for element in root.iter() if element.tag.endswith("path")]
    assert len(paths) == 2
    assert "a < b" in "".join(root.itertext())


def test_a_step_series_goes_sideways_before_it_goes_up() -> None:
    root = ElementTree.fromstring(svg_chart([[PODS]]))
    path = next(element for element in root.iter() if element.tag.endswith("path"))

    assert len(path.attrib["d"].split()) == 5, "two corners for each change of value"
