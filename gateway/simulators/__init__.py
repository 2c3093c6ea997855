"""The gateway's partners as real servers on localhost, for tests, demo, benches and the torture run."""
