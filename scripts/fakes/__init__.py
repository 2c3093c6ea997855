"""The gateway's neighbours as real servers on localhost, for tests, demo, benches and the torture run."""
