-- A reply is compared with those like it from the same sender: however many he has sent, the newest are found at once.
CREATE INDEX replies_alike ON replies (source_addr, md5(octets), arrived_at);
DROP INDEX replies_by_sender;
