"""Resource types of the API: names, fields, defaults, validation, conditions. Below it there are only policies."""
