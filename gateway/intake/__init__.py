"""Lists as they come in: bytes become records, records are judged, the good ones become cases."""
