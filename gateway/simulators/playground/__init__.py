"""The simulators' page: a visitor plays parent, wallet and canteen in a browser, and breaks and repairs partners.

`environment` has the state that the page shows, `telephones`, `vouchers`, `codes`, `canteen`, `complaints` and
`report` its parts, `acts` carries out what the visitor does, `server` serves the page on localhost. The page
commands the simulators alone: whatever reaches the gateway goes over SMPP and HTTP.
"""
