"""Charts for the terminal and the page."""

import xml.etree.ElementTree as ElementTree

from upwell.charts.drawing import Chart, Line, Mark, draw
from upwell.charts.text import text_chart

PODS = Line("pods", [(0, 0), (5, 4), (10, 0)], step=True)


def test_a_text_chart_is_as_wide_as_it_is_told_and_names_the_highest_value() -> None:
    rows = text_chart([PODS], width=20, height=2)

    assert len(rows) == 4
    assert rows[0].startswith("pods     4 │")
    assert all(len(row) <= len("pods     4 │") + 20 for row in rows)


def test_a_value_holds_until_the_next_one_is_known() -> None:
    top = text_chart([PODS], width=10, height=1)[0].split("│")[1]

    assert top == "     ████ "


def test_a_chart_without_points_is_empty_and_not_an_error() -> None:
    assert text_chart([Line("pods", [])], width=10, height=1)[0].endswith("│" + " " * 10)
    assert drawing(Chart("Pods", "", [Line("pods", [])])) is not None


def test_a_drawing_is_well_formed_whatever_the_names_hold() -> None:
    root = drawing(Chart("Pods", "", [PODS, Line("<in> & out", [(0, 1), (10, 2)], 1)], marks=[Mark(3, "a < b")]))

    assert len(elements(root, "path")) == 2
    assert "a < b" in "".join(root.itertext())


def test_a_mark_is_where_its_moment_is() -> None:
    root = drawing(Chart("Pods", "", [PODS], marks=[Mark(5, "half"), Mark(10, "end")]))
    marks = [element.attrib for element in elements(root, "line") if element.attrib["class"] == "mark"]
    top = next(element.attrib for element in elements(root, "line") if element.attrib["class"] == "grid")

    middle = (float(top["x1"]) + float(top["x2"])) / 2
    assert [float(mark["x1"]) for mark in marks] == [middle, float(top["x2"])]


def test_a_step_line_goes_sideways_before_it_goes_up() -> None:
    root = drawing(Chart("Pods", "", [PODS]))

    (path,) = elements(root, "path")
    assert (path.attrib["d"].count("H"), path.attrib["d"].count("V")) == (2, 2)


def drawing(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(draw(chart, 10.0))


def elements(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.tag == tag]
