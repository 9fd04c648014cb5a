"""Records as the JSON that GitHub sends, in REST answers and webhooks alike: one superset of both shapes each."""
