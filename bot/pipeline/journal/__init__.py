"""What is known of every build, in the one database: the only owner of SQLAlchemy and of our tables.

`runs` has deliveries, builds, their events and cancellations; `fleet` has machines, agents and tool calls;
`usage` has bearers and money. Every method is one transaction.
"""
