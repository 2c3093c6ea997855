"""The traces of cases: ids, which partners get with each request, and spans where they are wanted."""
