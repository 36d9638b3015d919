"""The templates of names and hosts."""

import pytest

from upwell.api.go_template import Template, TemplateError

VALUES = {"Name": "app", "Namespace": "shop", "Labels": {"team": "blue"}, "Annotations": {"sub.domain/x": "eu"}}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.Name}}.{{.Namespace}}.example.com", "app.shop.example.com"),
        ("{{ .Labels.team }}", "blue"),
        ("{{.Labels.other}}", ""),
        ('{{index .Annotations "sub.domain/x"}}', "eu"),
        ('{{if index .Labels "team"}}{{.Labels.team}}{{else}}all{{end}}', "blue"),
        ('{{if index .Labels "none"}}x{{else}}all{{end}}', "all"),
        ("a {{- .Name -}} b", "aappb"),
        ("plain", "plain"),
    ],
)
def test_fields_index_and_conditions_are_filled_in(source: str, text: str) -> None:
    assert Template(source).render(VALUES) == text


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{{.Name", "without"),
        ("{{end}}", "without an if"),
        ("{{if .Name}}x", "without"),
        ('{{.Name | printf "%q"}}', "not supported"),
        ("{{range .Labels}}x{{end}}", "not supported"),
    ],
)
def test_what_is_no_such_template_is_refused_at_once(source: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=problem):
        Template(source)


def test_a_field_that_the_values_do_not_have_is_named() -> None:
    with pytest.raises(TemplateError, match="there is no field Bogus; there are Annotations"):
        Template("{{.Bogus}}").render(VALUES)
