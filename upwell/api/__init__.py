"""Resource types of the API: names, fields, defaults, validation, conditions. Imports nothing of ours."""
