"""The scripted model: plays a few known builds behind Anthropic's Messages API, at a fixed token rate, for nothing.

It serves the demo, the tests, the measurements and fault injection. `server.start` runs it in this process,
`python -m bot.local.model` in one of its own. It knows what it was asked only from the request itself, so that a
request that is sent again gets the same answer.
"""
