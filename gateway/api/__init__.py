"""HTTP in: lists, cases, statuses and the wallet's news. openapi.json says what each answers."""
