"""The pages for people: repositories, issues, pull requests. What they change goes through the REST API as the person."""

from bot.local.github.pages.routes import blueprint

__all__ = ["blueprint"]
